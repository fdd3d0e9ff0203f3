"""The plant and the devices beside an agent, each a process of its own: plant, merging units, breakers' IEDs."""
