"""The compiled core: Sampled Values in, phasors and pick-up out; Sampled Values out for the simulator."""
