"""The local door of an agent: a unix socket in the state directory that only its owner (and root) may open.

What must not come over the network comes here: release of a lock-out, taking off a tag. Who may do it is decided by
file permission in this version (mode 0600 in a 0700 directory), checked again against the peer's credentials, and the
user id goes on the record; roles of IEC 62351-8 are a later matter. One request and one answer a connection, each a
line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.station import channel

NAME = "agent.sock"
LIMIT = 64 * 1024
Reply = Callable[[dict[str, Any]], None]


class NotRunningError(Exception):
    """No station process answers in this state directory."""


class Door:
    """The listening side. ``serve(request, uid, reply)`` handles one request; it calls ``reply`` once, now or later."""

    def __init__(self, directory: Path, serve: Callable[[dict[str, Any], int, Reply], None]) -> None:
        self._path = directory / NAME
        self._server = channel.listen(self._path, socket.SOCK_STREAM)
        self._serve = serve

    def fileno(self) -> int:
        """Readable when somebody knocks; then call :meth:`accept`."""
        return self._server.fileno()

    def accept(self) -> None:
        """Take one request in."""
        try:
            client, _ = self._server.accept()
        except OSError:
            return

        def reply(answer: dict[str, Any]) -> None:
            with contextlib.suppress(OSError):
                client.settimeout(1.0)
                client.sendall(json.dumps(answer).encode() + b"\n")
            client.close()

        uid = user_of(client)
        if not permitted(uid):
            reply({"error": "only root or the agent's own user"})
            return
        try:
            client.settimeout(1.0)
            request = json.loads(client.recv(LIMIT))
            if not isinstance(request, dict):
                raise ValueError("an object is needed")
            self._serve(request, uid, reply)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reply({"error": f"not a request: {error}"})

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self._path.unlink(missing_ok=True)


def user_of(connection: socket.socket) -> int:
    """User id at the other end (SO_PEERCRED: told by the kernel, not by the peer)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("iII", raw)
    return int(uid)


def permitted(uid: int) -> bool:
    """Root and the user the agent runs as."""
    return uid in (0, os.geteuid())


def ask(directory: Path, request: dict[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
    """Put one request to a running agent; NotRunningError or PermissionError if that is impossible."""
    try:
        connection = channel.connect(directory / NAME, socket.SOCK_STREAM)
    except PermissionError:
        raise
    except OSError as error:
        raise NotRunningError(f"no agent runs in {directory} ({error.strerror})") from error
    with connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                part = connection.recv(LIMIT)
                if not part:
                    break
                data += part
            answer = json.loads(data)
        except (OSError, ValueError) as error:
            raise NotRunningError(f"the agent in {directory} does not answer ({error})") from error
    if not isinstance(answer, dict):
        raise NotRunningError(f"the agent in {directory} answers nonsense")
    return answer
