"""Where commands draw their tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def wide_console(**options: Any) -> Console:
    """Where nobody's window sets a width, one that references fit into."""
    console = Console(**options)
    return console if console.is_terminal else Console(**options, width=max(console.width, 160))
