"""The command channel between the two processes of an agent: JSON messages over a sequenced-packet unix socket.

The protection process listens on ``protection.sock`` in the state directory (mode 0600) and accepts one station process
at a time; a newer one replaces the older, so that a restarted station finds its protection again. On accept it sends
``hello`` with its process id, the digest of its configuration, and the descriptors of the shared memory and of the
eventfd that rings when the event ring has something. Nothing on this channel blocks the protection process.

Addresses go through ``/proc/self/fd``, since a unix socket's path may have only 107 bytes and run folders are deep.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "protection.sock"
LIMIT = 64 * 1024


def _with_directory(path: Path) -> tuple[int, str]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return descriptor, f"/proc/self/fd/{descriptor}/{path.name}"


def listen(path: Path, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
    """A listening socket only the owner may connect to; a leftover of a dead process is removed."""
    directory, address = _with_directory(path)
    try:
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        old = os.umask(0o177)
        try:
            server.bind(address)
        finally:
            os.umask(old)
        server.listen(8)
        return server
    finally:
        os.close(directory)


def connect(path: Path, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
    """Connect to a listening socket; OSError if nobody listens."""
    directory, address = _with_directory(path)
    try:
        client = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
        try:
            client.connect(address)
        except OSError:
            client.close()
            raise
        return client
    finally:
        os.close(directory)


def send(link: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
    """Send one message; False if the other side is gone or does not read."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > LIMIT:
        raise ValueError(f"message of {len(data)} bytes")
    try:
        if descriptors:
            socket.send_fds(link, [data], list(descriptors))
        else:
            link.send(data)
    except OSError:
        return False
    return True


def receive(link: socket.socket) -> dict[str, Any] | None:
    """The next message; None at the end of the connection. BlockingIOError if there is none yet."""
    message, _ = receive_with_descriptors(link, 0)
    return message


def receive_with_descriptors(link: socket.socket, maximum: int) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and the descriptors that came with it; what is not a message ends the connection."""
    try:
        data, descriptors, _flags, _address = socket.recv_fds(link, LIMIT, maximum)
    except BlockingIOError:
        raise
    except OSError:
        return None, []
    if not data:
        return None, descriptors
    try:
        message = json.loads(data)
    except ValueError:
        return None, descriptors
    return (message, descriptors) if isinstance(message, dict) else (None, descriptors)
