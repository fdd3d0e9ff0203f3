"""How soon a TCP connection is given up whose other end has gone without a word."""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple


class Patience(NamedTuple):
    """Whole seconds."""

    idle_s: int
    """Nothing came for so long: the other end is asked whether it lives …"""
    again_s: int
    """… and again."""
    lost_s: int
    """What was sent is not acknowledged for so long: the connection is lost."""


def keep_alive(end: socket.socket, patience: Patience) -> None:
    """As far as the system can."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, patience.idle_s)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, patience.again_s)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience.lost_s * 1000)
