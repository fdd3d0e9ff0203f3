"""The simulator judged: its plant, network and checker, and that each check can fail."""
