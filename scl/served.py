"""Limits of the agent's MMS server that its SCL declares. Imports nothing: the station process needs them, too."""

from __future__ import annotations

from typing import Final

DYNAMIC_SETS: Final = 10
"""Data sets that clients make."""
DYNAMIC_MEMBERS: Final = 100
"""Members of each."""
