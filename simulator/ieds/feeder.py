"""The feeder a process is started with: an SCD with its ratings, or a drawing."""

from __future__ import annotations

from scl.topology import Feeder


def read_feeder(path: str, ratings: str | None = None) -> Feeder:
    """``.yaml`` is a drawing, everything else an SCD. ValueError or OSError with the reason."""
    if path.endswith((".yaml", ".yml")):
        from scl.describe import read as read_drawing

        return read_drawing(path)
    from scl.derive import read as read_scheme

    return read_scheme(path, ratings).feeder
