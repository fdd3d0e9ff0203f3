"""A member's end: pulls its groups' keys, hears of changes, and asks the other server when one does not answer.

A thread of its own, for TLS waits: it never touches the agent's state, it only puts what it has heard into a queue and
rings. Both servers are asked in turn; the one that answers is kept until it goes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.keyserver import payloads
from agent.keyserver.payloads import Keys, Message, PayloadError, Pull, Refused
from agent.keyserver.tls import Identity, cause, context

CONNECT_S = 5.0
ANSWER_S = 10.0
"""A server that comes back asks the other one first, for five seconds at most."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
REFRESH_S = 300.0
"""What was pushed is pulled again now and then: a push that was lost is made up for."""


class Heard(NamedTuple):
    """One thing that the owner should know: keys, a refusal, or that nobody answers."""

    server: str
    message: Keys | Refused | None
    """None: no server answers; ``why`` says what the last one did."""
    why: str = ""


class KeyClient:
    """See the module. ``fileno`` becomes readable when :meth:`heard` has something."""

    def __init__(self, servers: Sequence[tuple[str, int]], identity: Identity, groups: Sequence[str]) -> None:
        """IdentityError if the certificate files cannot be used."""
        if not servers:
            raise ValueError("no key server")
        self._servers = tuple(servers)
        self._groups = tuple(groups)
        self._identity = identity
        context(identity, server=False)
        self._queue: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="flisr-keys", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def fileno(self) -> int:
        """For a selector."""
        return self._bell

    def heard(self) -> list[Heard]:
        """All that has come since the last call, in order."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join(CONNECT_S + 1.0)
        if not self._thread.is_alive():  # one that still resolves a name would ring at somebody else's descriptor
            os.close(self._bell)
            os.close(self._stop)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _tell(self, heard: Heard) -> None:
        self._queue.put(heard)
        os.eventfd_write(self._bell, 1)

    def _pause(self, seconds: float) -> bool:
        """True: told to stop."""
        return bool(select.select([self._stop], [], [], seconds)[0])

    def _work(self) -> None:
        turn = failures = 0
        while True:
            host, port = self._servers[turn % len(self._servers)]
            answered, why = self._visit(host, port)
            failures = 0 if answered else failures + 1
            if failures == len(self._servers):
                self._tell(Heard(f"{host}:{port}", None, why))
            turn += 1
            if self._pause(0.1 if answered else RETRY_S[min(failures // len(self._servers), len(RETRY_S) - 1)]):
                return

    def _visit(self, host: str, port: int) -> tuple[bool, str]:
        """Stay with a server as long as it answers: did it at all, and why did it end?"""
        answered = False
        try:
            known = context(self._identity, server=False)  # the files may have been renewed
            with (
                socket.create_connection((host, port), CONNECT_S) as plain,
                known.wrap_socket(plain, server_hostname=host) as link,
            ):
                link.settimeout(ANSWER_S)
                while not self._stopped():
                    for group in self._groups:
                        link.sendall(payloads.encode(Pull(group)))
                    for message in self._answers(link):
                        answered = True
                        self._tell(Heard(f"{host}:{port}", message))
        except (OSError, ValueError) as error:
            return answered, cause(error)
        return answered, "stopped"

    def _answers(self, link: ssl.SSLSocket) -> Iterator[Keys | Refused]:
        """What comes until it is time to ask again; TimeoutError if there was no answer to each question in time: the
        other end may be gone, or hang, without a word."""
        missing, due = set(self._groups), time.monotonic() + REFRESH_S
        while (left := due - time.monotonic()) > 0 and not self._stopped():
            message = self._next(link, min(left, ANSWER_S) if missing else left)
            if isinstance(message, Keys | Refused):
                missing.discard(message.group)
                yield message
            elif missing and not self._stopped():
                raise TimeoutError("silent")

    def _stopped(self) -> bool:
        return bool(select.select([self._stop], [], [], 0)[0])

    def _next(self, link: ssl.SSLSocket, patience_s: float) -> Message | None:
        """The next frame; None when none comes in time, or when told to stop. OSError when the other end has gone."""
        if not link.pending():
            ready = select.select([link.fileno(), self._stop], [], [], patience_s)[0]
            if self._stop in ready or not ready:
                return None
        size = int.from_bytes(_exactly(link, 4), "big")
        if size > payloads.FRAME_MAX:
            raise PayloadError(f"frame of {size} octets", "oversized")
        return payloads.decode(_exactly(link, size))


def _exactly(link: ssl.SSLSocket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = link.recv(size - len(octets))
        if not more:
            raise ConnectionResetError("the server has gone")
        octets += more
    return octets
