"""The laboratory: plant, merging units, virtual IEDs, virtual LAN, scenarios.

Imports everything, nothing imports it.
"""
