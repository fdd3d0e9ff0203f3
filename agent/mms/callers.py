"""Who speaks on a connection of the MMS library, as its callbacks ask; and those shown out whom nobody let in."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Protocol

from agent.mms.goose_blocks import library


class Caller(NamedTuple):
    """Who gives an order."""

    name: str
    may_control: bool


class Door(Protocol):
    """What lets clients in: :class:`agent.mms.porter.Porter`."""

    def caller(self, inner: str) -> Caller:
        """Who speaks on the connection from this address of loopback."""

    def knows(self, inner: str) -> bool:
        """Whether it was let in there."""


class Callers:
    """Asks the door, as soon as there is one; without one nobody may do anything."""

    door: Door | None = None

    def of_action(self, iec: Any, action: Any) -> Caller:
        """Who gives the order that a check or control handler was called for."""
        connection = iec.ControlAction_getClientConnection(action)
        return self.of(None if connection is None else iec.ClientConnection_getPeerAddress(connection))

    def of(self, inner: str | None) -> Caller:
        """Who speaks on the connection with this peer address."""
        return Caller("", False) if self.door is None or not inner else self.door.caller(inner)

    def knows(self, inner: str) -> bool:
        """Whether this connection was let in."""
        return self.door is not None and self.door.knows(inner)


class _Anybody(Callers):
    """For a server without a door: a test, a laboratory."""

    def of_action(self, iec: Any, action: Any) -> Caller:
        return Caller("", True)

    def knows(self, inner: str) -> bool:
        return True


ANYBODY = _Anybody()


_INDICATION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)


def show_out_strangers(server: Any, callers: Callers) -> Any:
    """Abort each connection that the door has not let in, before it is served. What is returned must be kept.

    The binding takes this handler as a C function only, hence ctypes.
    """
    used = library()
    address_of, abort = used.ClientConnection_getPeerAddress, used.ClientConnection_abort
    address_of.restype, address_of.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)
    abort.restype, abort.argtypes = ctypes.c_bool, (ctypes.c_void_p,)

    def indicated(_server: int, connection: int, connected: bool, _parameter: int) -> None:
        if connected and not callers.knows((address_of(connection) or b"").decode("ascii", "replace")):
            abort(connection)

    handler = _INDICATION(indicated)
    install = used.IedServer_setConnectionIndicationHandler
    install.argtypes = (ctypes.c_void_p, _INDICATION, ctypes.c_void_p)
    install.restype = None
    install(int(server), handler, None)
    return handler
