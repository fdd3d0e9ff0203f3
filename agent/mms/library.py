"""libiec61850 itself, for what its binding has no face for."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path


@functools.cache
def library() -> ctypes.CDLL:
    """The very library that the binding has loaded: import that first. OSError: it has not."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
        path = line.split()[-1]
        if "libiec61850" in path and ".so" in path:
            return ctypes.CDLL(path)
    raise OSError("libiec61850 is not loaded")
