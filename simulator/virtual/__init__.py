"""Virtual time: the brains under a simulated clock, network and feeder; one seed is one run."""
