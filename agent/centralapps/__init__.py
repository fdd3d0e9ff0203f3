"""Functions of the central node; each lands with its issue."""
