"""Limits of the agent's MMS server that its SCL declares: those of libiec61850 as it is built."""

from __future__ import annotations

from typing import Final

DATA_SETS: Final = 10
"""Data sets of a logical device, those of the SCL and those that clients make."""
DYNAMIC_MEMBERS: Final = 100
"""Members of each that a client makes."""
