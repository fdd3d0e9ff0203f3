"""What others keep or show of a stream that is subscribed to. Apart, for it is written and read by its type hints."""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """High-water mark of a stream, to be kept over restarts."""

    st_num: int
    t_us: int
    sq_num: int | None = None
    """None: not known, any repetition of the state is taken."""


class Heard(NamedTuple):
    """A stream as a supervisor sees it (LGOS)."""

    alive: bool
    """Within its time to live."""
    simulated: bool
    """What is accepted is simulated."""
    needs_commissioning: bool
    """The newest frame says so, or its configuration is not ours."""
