"""How many numbers describe a device's waves: for the plant, and for the merging units, which have no use for numpy."""

CHANNELS = 8
"""Currents A, B, C, residual; voltages A, B, C, residual."""
MODES = 5
"""Of an island's charging (``simulator.plant.charging``)."""
