"""The socket of one association: TCP or TLS, time-outs, and a fair share of the event loop. The only I/O of the client.

A burst of reports is worked off in portions, between which the loop serves others; while much is left, no more is taken
from the socket, and TCP holds the server back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from open61850.mms.association import Association
from open61850.mms.pdu import InformationReport

from agent.keyserver.tls import Identity, cause, context, name_of, stamp_of
from agent.mms.client.endpoint import Answer, Ended, Endpoint, Event, Misunderstood, Opened, Told
from agent.mms.client.errors import LostError, RefusedError, SilentError, UnreachableError
from agent.mms.tcp import Patience, keep_alive
from agent.mms.tls import restricted

PORTION: Final = 8
"""Messages worked off before others have their turn."""
AHEAD_MAX: Final = 256 * 1024
GOODBYE_S: Final = 0.5
PATIENCE: Final = Patience(idle_s=10, again_s=5, lost_s=20)
"""With a server that has gone without a word."""

Reported = Callable[[InformationReport], None]


class Credentials:
    """Files of our certificate, read again when they have changed; shared by all connections."""

    def __init__(self, identity: Identity) -> None:
        """IdentityError if they cannot be used."""
        self.identity = identity
        self._stamp: object = None
        self._context: ssl.SSLContext | None = None
        self.context()

    def context(self) -> ssl.SSLContext:
        """For a new connection; IdentityError."""
        stamp = stamp_of(self.identity)
        if self._context is None or stamp != self._stamp:
            self._context, self._stamp = restricted(context(self.identity, server=False)), stamp
        return self._context


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how it is recognised."""

    host: str
    port: int = 102
    credentials: Credentials | None = None
    """None: plain text."""
    name: str = ""
    """What its certificate must say; empty: its address."""
    label: str = ""
    """What it is called in messages and in the file of marks."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.label or f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time-outs (s)."""

    connect_s: float = 5.0
    """Until the association is there: TCP, TLS and MMS together."""
    request_s: float = 5.0
    """For an answer."""


class Link(asyncio.Protocol):
    """One association. ``ended`` is done when it is over, and says why."""

    def __init__(
        self, server: Server, limits: Limits, reported: Reported, misunderstood: Callable[[str], None]
    ) -> None:
        self.server = server
        self.association: Association | None = None
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._limits = limits
        self._reported = reported
        self._misunderstood = misunderstood
        self._endpoint = Endpoint()
        self._transport: asyncio.Transport | None = None
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._scheduled = False
        self._gone: str | None = None
        self.heard_at = loop.time()
        """When the server last sent something."""

    @classmethod
    async def open(
        cls, server: Server, limits: Limits, reported: Reported, misunderstood: Callable[[str], None]
    ) -> Link:
        """Connect and associate; UnreachableError, IdentityError."""
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if server.credentials is not None:
            # The name is looked at in connection_made: those of IEDs (F1_AG) are none of the DNS.
            secured = {"ssl": server.credentials.context(), "server_hostname": server.host}
        link: Link | None = None
        try:
            async with asyncio.timeout(limits.connect_s):
                _, link = await loop.create_connection(
                    lambda: cls(server, limits, reported, misunderstood), server.host, server.port, **secured
                )
                await link.opened
        except TimeoutError:
            if link is not None:
                link.abort("no association in time")
            raise UnreachableError(f"{server}: no association within {limits.connect_s:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise UnreachableError(f"{server}: {_reason(error)}") from None
        except BaseException:
            if link is not None:
                link.abort("given up")
            raise
        return link

    # --- requests ----------------------------------------------------------------------------------------------------

    async def request(self, service: bytes, what: str, timeout_s: float | None = None, urgent: bool = False) -> Answer:
        """The answer to a confirmed request; RefusedError, SilentError, LostError."""
        if self.ended.done():
            raise LostError(f"{self.server}: {what}: not connected ({self.ended.result()})")
        limit = self._limits.request_s if timeout_s is None else timeout_s
        number = self._endpoint.request(service, urgent)
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._pending[number] = waiting
        self._flush()
        try:
            async with asyncio.timeout(limit):
                answer = await waiting
        except TimeoutError:
            raise SilentError(f"{self.server}: {what}: no answer within {limit:g} s") from None
        finally:
            del self._pending[number]
            if not waiting.done() or waiting.cancelled():
                self._endpoint.forget(number)
        if answer.refused:
            raise RefusedError(what, answer.refused)
        return answer

    async def close(self) -> None:
        """Conclude, wait for the server a moment, and close."""
        if not self.ended.done():
            self._endpoint.conclude()
            self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await asyncio.shield(self.ended)
        self.abort("closed")

    def abort(self, why: str) -> None:
        """Close at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, or TLS with the handshake over."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        end = transport.get_extra_info("socket")
        if end is not None:
            keep_alive(end, PATIENCE)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            wrong = wrong_name(secured.getpeercert(), self.server.name or self.server.host)
            if wrong:
                self.abort(wrong)
                return
        self._endpoint.begin()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Keep it, and work off a portion."""
        self.heard_at = self._loop.time()
        self._endpoint.receive(data)
        if self._endpoint.behind > AHEAD_MAX and self._transport is not None:
            self._transport.pause_reading()
        if not self._scheduled:
            self._turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """What has arrived before is still worked off."""
        self._gone = "the server closed the connection" if exc is None else _reason(exc)
        if not self._scheduled:
            self._turn()

    def _turn(self) -> None:
        self._scheduled = False
        if self.ended.done():
            # What an abandoned association still holds would come between the reports of the next one.
            return
        for _ in range(PORTION):
            event = self._endpoint.next_event()
            if event is None:
                if self._gone is not None:
                    self._end(self._gone)
                elif self._transport is not None and not self._transport.is_reading():
                    with contextlib.suppress(RuntimeError):
                        self._transport.resume_reading()
                break
            self._happened(event)
        else:
            self._scheduled = True
            self._loop.call_soon(self._turn)
        self._flush()

    def _happened(self, event: Event) -> None:
        match event:
            case Told(report):
                self._reported(report)
            case Answer(number):
                waiting = self._pending.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event)
            case Misunderstood(why):
                self._misunderstood(why)
            case Opened(association):
                self.association = association
                if not self.opened.done():
                    self.opened.set_result(None)
            case Ended(why):
                self.abort(why)

    def _flush(self) -> None:
        data = self._endpoint.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, why: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(why)
        if not self.opened.done():
            self.opened.set_exception(UnreachableError(f"{self.server}: {why}"))
            # Nobody may have begun to wait for it.
            self.opened.exception()
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(LostError(f"{self.server}: connection lost: {why}"))


def wrong_name(certificate: Any, expected: str) -> str:
    """Why a verified certificate is not that of the server that we meant; empty if it is."""
    told = [
        str(value) for kind, value in (certificate or {}).get("subjectAltName", ()) if kind in ("DNS", "IP Address")
    ]
    names = told or [name_of(certificate)]
    if expected.casefold() in (name.casefold() for name in names):
        return ""
    return f"the certificate is that of {' or '.join(names)}, not of {expected}"


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"no such host ({error.strerror})"
    if isinstance(error, ssl.SSLError) and "ALERT_" in (error.reason or ""):
        alert = error.reason.partition("ALERT_")[2].replace("_", " ").lower()
        return f"the server refuses our certificate or TLS: {alert}"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        # asyncio puts the whole address into the text.
        return os.strerror(error.errno)
    return cause(error)
