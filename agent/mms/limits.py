"""Limits of the MMS server's associations. Apart: the command that offers them needs no server for that."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Of associations."""

    clients: int = 8
    of_address: int = 8
    idle_s: float = 3600.0
    """Nothing went over it in either direction for so long: it ends."""
    session_s: float = 86_400.0
    """It ends after so long: a new one has new keys, and its certificate is looked at again."""
