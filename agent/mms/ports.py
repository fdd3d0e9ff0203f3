"""How many clients the library takes: five on a port, however it is configured (an array of its own build).

So it listens on as many ports of loopback as it takes for the clients that the door lets in. It waits a millisecond or
two on each at every turn, so a server for many clients is a slow one: 670 reads a second on one port, 146 on four, 19
on sixteen (two busy cores).
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from agent.mms.library import library

CLIENTS_OF_PORT: Final = 4
"""One fewer than the library takes: it notices only when it is served that a client has gone."""
AS_ADDED: Final = -1
"""Instead of a port, where it is told to listen: on those that were added."""


def ports_for(clients: int) -> int:
    """How many ports."""
    return -(-clients // CLIENTS_OF_PORT)


def add_port(server: Any, address: str, port: int) -> None:
    """One more port, before the server listens. The binding's own way refuses to do without TLS."""
    add = library().IedServer_addAccessPoint
    add.restype, add.argtypes = ctypes.c_bool, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
    if not add(int(server), address.encode("ascii"), port, None):
        raise OSError(f"MMS: cannot listen on {address}:{port}")
