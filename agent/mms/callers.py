"""Who speaks on a connection of the MMS library, as its callbacks ask; and those shown out whom nobody let in."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agent.mms.library import library


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

    def shown_out(self, inner: str) -> None:
        """It was not, and has been cut."""


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

    def shown_out(self, inner: str) -> None:
        """This one was not, and has been cut."""
        if self.door is not None:
            self.door.shown_out(inner)


class _Anybody(Callers):
    """For a server without a door: a test, a laboratory."""

    def of_action(self, iec: Any, action: Any) -> Caller:
        return Caller("", True)

    def knows(self, inner: str) -> bool:
        return True


ANYBODY = _Anybody()


_INDICATION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
FDS = Path("/proc/self/fd")


def show_out_strangers(server: Any, callers: Callers) -> Any:
    """Cut each connection that the door has not let in, before it is served. What is returned must be kept.

    The library's own way (ClientConnection_abort) leaves it with a pointer to what it has freed: the process crashes a
    little later. The binding takes this handler as a C function only, hence ctypes.
    """
    used = library()
    peer_of, local_of = used.ClientConnection_getPeerAddress, used.ClientConnection_getLocalAddress
    for function in (peer_of, local_of):
        function.restype, function.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)

    def indicated(_server: int, connection: int, connected: bool, _parameter: int) -> None:
        if connected:
            inner = _text(peer_of(connection))
            if not callers.knows(inner):
                cut(inner, _text(local_of(connection)))
                callers.shown_out(inner)

    handler = _INDICATION(indicated)
    install = used.IedServer_setConnectionIndicationHandler
    install.argtypes = (ctypes.c_void_p, _INDICATION, ctypes.c_void_p)
    install.restype = None
    install(int(server), handler, None)
    return handler


def _text(address: bytes | None) -> str:
    return (address or b"").decode("ascii", "replace")


def cut(peer: str, local: str) -> None:
    """Put a socket without a connection in place of the one between these addresses (``127.0.0.1:102``), whoever of
    this process holds it: the holder's next read fails, nothing that has arrived is read any more."""
    for entry in os.listdir(FDS):
        fd = int(entry)
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
            with socket.socket(fileno=os.dup(fd)) as held:
                if held.family != socket.AF_INET or _address(held.getpeername()) != peer:
                    continue
                if _address(held.getsockname()) != local:
                    continue
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as nothing:
                os.dup2(nothing.fileno(), fd, inheritable=False)


def _address(of: tuple[str, int]) -> str:
    return f"{of[0]}:{of[1]}"
