"""GOOSE control blocks are shown, not served: frames leave the protection process, never this library.

libiec61850's control block is a publisher of its own. Enabled by a client it would send a second, unsigned stream of
the same name, so every write is refused. Its GoEna would say that nothing is sent, which is not so: reading GoEna, or
the block as a whole, is refused as well; GoID, DatSet, ConfRev, DstAddress and the times are read one by one.
The binding has no face for this handler; it is installed through ctypes.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

READ = 0
UNTRUE = (None, b"GoEna", b"NdsCom")
"""Parts of a control block that the library would tell wrongly; None: the whole."""

_HANDLER = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p,
    ctypes.c_char_p, ctypes.c_int,
)  # fmt: skip


def guard(iec: Any, server: Any) -> Any:
    """Install; what is returned must live as long as the server."""
    goose = int(iec.ACSI_CLASS_GoCB)

    def allowed(
        _parameter: Any, _connection: Any, acsi_class: int, _device: Any, _node: Any, _name: bytes, part: bytes | None,
        access: int,
    ) -> bool:  # fmt: skip
        return acsi_class != goose or (access == READ and part not in UNTRUE)

    handler = _HANDLER(allowed)
    install = library().IedServer_setControlBlockAccessHandler
    install.argtypes = (ctypes.c_void_p, _HANDLER, ctypes.c_void_p)
    install.restype = None
    install(int(server), handler, None)
    return handler


def library() -> ctypes.CDLL:
    """The very library that the binding has loaded."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
        path = line.split()[-1]
        if "libiec61850" in path and ".so" in path:
            return ctypes.CDLL(path)
    raise OSError("libiec61850 is not loaded")
