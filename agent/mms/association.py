"""One client's way to the server and back: TLS outside, plain inside, and every request looked at in between."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Final

from agent.mms import requests
from agent.mms.audit import Audit
from agent.mms.ber import BerError
from agent.mms.requests import Reassembly, Request
from agent.mms.roles import Grant, Right

CHUNK: Final = 65_536
WAITING_MAX: Final = 1024 * 1024
"""A client that leaves so much unread is let go."""
AHEAD_MAX: Final = 128 * 1024
"""So much waits for the server before no more is taken from the client."""
PENDING_MAX: Final = 64
"""Requests under way that the audit wants the answer of."""
ASSOCIATE_S: Final = 10.0
"""From the connection to the initiate request."""
MESSAGE_S: Final = 10.0
"""From the first octet of a message to its last."""
AUDITED: Final = frozenset({Right.DATASET, Right.FILEREAD, Right.FILEWRITE, Right.FILEMNGT})


class EndedError(Exception):
    """The association is over; the text says why."""


class Warden:
    """Looks at what goes both ways. Sans I/O: octets in, octets out."""

    def __init__(self, who: str, grant: Grant, audit: Audit) -> None:
        self.who = who
        self.grant = grant
        self._audit = audit
        self._held = b""
        self._frames: list[bytes] = []
        self._asked = Reassembly()
        self._answered = Reassembly()
        self._back = b""
        self._connected = False
        self._pending: dict[int, Request] = {}
        self._add_cause: int | None = None
        self._blind = False
        self.messages = 0
        """Whole ones that the client has sent."""

    @property
    def midway(self) -> bool:
        """A message of the client has begun and not ended."""
        return bool(self._held or self._frames)

    @property
    def connected(self) -> bool:
        """The client has asked for an association."""
        return self._connected

    def asked(self, data: bytes) -> tuple[bytes, bytes]:
        """Octets of the client: what goes on to the server, and what goes back to the client at once. BerError if
        they cannot be understood."""
        self._held += data
        on: list[bytes] = []
        back: list[bytes] = []
        taken = 0
        for frame in requests.tpkts(self._held):
            taken += len(frame)
            # Parts of a message go on only with the last one, when it is known what it is.
            self._frames.append(frame)
            message = self._asked.add(frame)
            if message is not None:
                self.messages += 1
                refused = self._judge(message)
                if refused is not None:
                    back.append(refused)
                    self._frames.clear()
            if message is not None or frame[5] & 0xF0 != requests.DATA_TPDU:
                on += self._frames
                self._frames.clear()
        self._held = self._held[taken:]
        return b"".join(on), b"".join(back)

    def _judge(self, message: bytes) -> bytes | None:
        """What to answer at once; None: let it pass."""
        if message[:1] == bytes([requests.CONNECT_SPDU]):
            if self._connected:
                raise BerError("a second association")
            requests.check_connect(message)
            self._connected = True
            return None
        request = requests.request_of(message)
        if request is None:
            return None
        if not self._connected:
            raise BerError("a request before the association")
        if not request.controls and request.right not in self.grant.rights:
            self._audit.denied(self.who, self.grant.words, request)
            return requests.refusal(request)
        if request.tag == requests.WRITE or request.controls or request.right in AUDITED:
            if not self._blind and len(self._pending) >= PENDING_MAX:
                raise BerError(f"{PENDING_MAX} requests without an answer")
            self._pending[request.number] = request
        return None

    def answered(self, data: bytes) -> None:
        """Octets of the server, which go to the client as they are: looked at for the audit only."""
        with contextlib.suppress(BerError):
            self._follow(data)
            return
        # Nothing of this direction can be told from here on.
        self._back, self._pending, self._blind = b"", {}, True

    def _follow(self, data: bytes) -> None:
        if self._blind:
            return
        self._back += data
        taken = 0
        for frame in requests.tpkts(self._back):
            taken += len(frame)
            message = self._answered.add(frame)
            if message is not None and message[:4] == requests.DATA_SPDU and (self._pending or b"LastAppl" in message):
                self._note(message)
        self._back = self._back[taken:]

    def _note(self, message: bytes) -> None:
        found = requests.mms_of(message)
        if found is None:
            return
        cause = requests.add_cause_of(found[1]) if b"LastApplError" in message else None
        if cause is not None:
            self._add_cause = cause
            return
        answer = requests.answer_of(found[1])
        request = None if answer is None else self._pending.pop(answer.number, None)
        if answer is None or request is None:
            return
        if request.controls:
            self._audit.ordered(self.who, self.grant.words, request, answer.error, self._add_cause)
        else:
            self._audit.wrote(self.who, self.grant.words, request, answer.error)
        self._add_cause = None


class Association:
    """One client, let in: its socket, the socket to the server, and what waits for either."""

    def __init__(self, client: socket.socket, server: socket.socket, address: str, warden: Warden, now: float) -> None:
        self.client = client
        self.server = server
        self.address = address
        self.warden = warden
        self.inner = "{}:{}".format(*server.getsockname()[:2])
        """How the server sees this client."""
        self.port = 0
        """The server's, on loopback."""
        self.heard_at = now
        """When something last went over it (s, monotonic)."""
        self._let_in_at = now
        self._midway_since: float | None = None
        self._messages = 0
        self.ends_at = float("inf")
        self.why = "at the end of its time"
        """What is said when ``ends_at`` is reached."""
        self._to_client = bytearray()
        self._to_server = bytearray()

    def turn(self, now: float) -> bool:
        """Move what there is to move; whether the server has something new. EndedError when one end has gone."""
        new = False
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while len(self._to_server) < AHEAD_MAX:
                data = self._receive(self.client, "closed by the client")
                self.heard_at = now
                try:
                    on, back = self.warden.asked(data)
                except BerError as error:
                    raise EndedError(f"not understood: {error}") from None
                except Exception as error:
                    # A defect of ours must not end the process that writes the latch.
                    raise EndedError(f"not understood: {type(error).__name__}") from error
                self._clock(now)
                self._to_server += on
                self._to_client += back
        with contextlib.suppress(BlockingIOError):
            while len(self._to_client) < WAITING_MAX:
                data = self._receive(self.server, "closed by the server")
                self.heard_at = now
                self.warden.answered(data)
                self._to_client += data
        if self._to_server:
            new = True
            self._send(self.server, self._to_server)
        self._send(self.client, self._to_client)
        if len(self._to_client) >= WAITING_MAX:
            raise EndedError("does not read")
        return new

    def _clock(self, now: float) -> None:
        """A message under way has a time in which to end."""
        if not self.warden.midway:
            self._midway_since = None
        elif self._midway_since is None or self._messages != self.warden.messages:
            self._midway_since = now
        self._messages = self.warden.messages

    def late(self, now: float) -> str:
        """Why it has taken too long; empty: it has not."""
        if not self.warden.connected and now - self._let_in_at > ASSOCIATE_S:
            return f"no association within {ASSOCIATE_S:g} s"
        if self._midway_since is not None and now - self._midway_since > MESSAGE_S:
            return f"a message of more than {MESSAGE_S:g} s"
        return ""

    @property
    def waiting(self) -> bool:
        """Whether octets wait for the client."""
        return bool(self._to_client)

    @property
    def behind(self) -> bool:
        """Whether octets wait for the server."""
        return bool(self._to_server)

    def _receive(self, end: socket.socket, gone: str) -> bytes:
        try:
            data = end.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            raise EndedError(f"{gone} ({error.strerror or error})") from None
        if not data:
            raise EndedError(gone)
        return data

    def _send(self, end: socket.socket, waiting: bytearray) -> None:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while waiting:
                try:
                    # A copy that stays the same while TLS asks for it to be sent again.
                    sent = end.send(bytes(waiting[:CHUNK]))
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except OSError as error:
                    raise EndedError(f"cannot be reached ({error.strerror or error})") from None
                del waiting[:sent]

    def close(self) -> None:
        """Let both ends go."""
        self.client.close()
        self.server.close()
