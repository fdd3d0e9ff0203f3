"""``flisr keys serve``: members pull their group's keys and are told of every change, over TLS with certificates.

One event loop around :class:`agent.keyserver.authority.Authority`: what changes is on disk before anybody hears of it.
The other server, if there is one, is followed as a member would, for all groups.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.keyserver import payloads, store
from agent.keyserver.authority import Authority
from agent.keyserver.payloads import Keys, Message, PayloadError, Pull, Refused
from agent.keyserver.policy import ServerConfig
from agent.keyserver.tls import common_name, context

FIRST_FRAME_S = 10.0
"""Who has connected has so long to ask …"""
SENT_S = 5.0
"""… and so long to take an answer."""
CONNECTIONS_MAX = 1024
TICK_S = 0.5
RETRY_S = 2.0


def now_us() -> int:
    """UTC."""
    return time.time_ns() // 1000


async def receive(reader: asyncio.StreamReader) -> Message:
    """The next frame; PayloadError, or EOFError when the other end has gone."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > payloads.FRAME_MAX:
        raise PayloadError(f"frame of {size} octets", "oversized")
    return payloads.decode(await reader.readexactly(size))


async def send(writer: asyncio.StreamWriter, message: Message) -> None:
    """Write a frame; TimeoutError if the other end does not take it."""
    writer.write(payloads.encode(message))
    async with asyncio.timeout(SENT_S):
        await writer.drain()


@dataclass(slots=True, eq=False)
class Session:
    """One member that is connected."""

    name: str
    writer: asyncio.StreamWriter
    groups: set[str] = field(default_factory=set)


class KeyServer:
    """See the module. ``say``: where the audit's lines go, never with a secret in them."""

    def __init__(self, config: ServerConfig, say: Callable[[str], None]) -> None:
        self.counters: Counter[str] = Counter()
        self.address = ("", 0)
        """Where it listens, once it does."""
        self.ready = asyncio.Event()
        self._config = config
        self._say = say
        self._sessions: set[Session] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._authority = Authority(
            config.groups, config.number, secrets.token_bytes, now_us(),
            peer=config.peer_name, takeover_s=config.takeover_s,
        )  # fmt: skip
        store.load(config.store, self._authority)
        self._listening = context(config.identity, server=True)

    async def run(self) -> None:
        """Until cancelled."""
        host, port = self._config.listen
        server = await asyncio.start_server(
            self._session, host, port, ssl=self._listening, ssl_handshake_timeout=FIRST_FRAME_S
        )
        self.address = server.sockets[0].getsockname()[:2]
        self._say(f"listening on {self.address[0]}:{self.address[1]}")
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                if self._config.peer is not None:
                    tasks.create_task(self._follow(*self._config.peer))
        finally:
            server.close()
            for task in list(self._talks):
                task.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    # --- keys --------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            changed = self._authority.advance(now_us())
            if changed:
                await self._publish(changed)
            await asyncio.sleep(TICK_S)

    async def _publish(self, groups: list[str]) -> None:
        """On disk first. A disk that refuses keeps the new keys from being told: the former ones go on."""
        while True:
            try:
                store.save(Path(self._config.store), self._authority)
                break
            except OSError as error:
                self._say(f"ALARM {self._config.store}: {error.strerror}: new keys are not handed out")
                await asyncio.sleep(RETRY_S)
        for name in groups:
            self._say(f"group {name}: keys {', '.join(str(k.identifier) for k in self._authority.chains[name].keys)}")
        pushes = [
            self._tell(session, name) for session in list(self._sessions) for name in groups if name in session.groups
        ]
        await asyncio.gather(*pushes)

    async def _tell(self, session: Session, group: str) -> None:
        try:
            await send(session.writer, self._authority.answer(session.name, group, now_us()))
            self.counters["told"] += 1
        except (OSError, TimeoutError) as error:
            self.counters["not told"] += 1
            self._say(f"{session.name}: did not take keys of {group}: {error or 'too slow'}")
            session.writer.close()

    # --- members -----------------------------------------------------------------------------------------------------

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._attend(reader, writer)
        except asyncio.CancelledError:  # the server ends; the library would take this for an error of ours
            pass
        finally:
            self._talks.discard(task)
            writer.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = common_name(writer.get_extra_info("peercert"))
        where = writer.get_extra_info("peername")
        session = Session(name, writer)
        if len(self._sessions) >= CONNECTIONS_MAX:
            self.counters["too many"] += 1
            return
        self._sessions.add(session)
        self._say(f"{name} connected from {where[0]}:{where[1]}")
        try:
            await self._converse(session, reader)
        except PayloadError as error:
            self.counters[error.cause] += 1
            self._say(f"{name}: refused, {error}")
        except TimeoutError:
            self.counters["silent"] += 1
            self._say(f"{name}: asked for nothing")
        except (OSError, EOFError):
            pass
        finally:
            self._sessions.discard(session)
            self._say(f"{name} has gone")

    async def _converse(self, session: Session, reader: asyncio.StreamReader) -> None:
        while True:
            async with asyncio.timeout(None if session.groups else FIRST_FRAME_S):
                message = await receive(reader)
            if not isinstance(message, Pull):
                raise PayloadError(f"a {type(message).__name__} from a member", "unknown")
            answer = self._authority.answer(session.name, message.group, now_us())
            if isinstance(answer, Refused):
                self.counters["refused"] += 1
                self._say(f"{session.name}: no member of {message.group!r}")
            else:
                session.groups.add(message.group)
                self.counters["pulled"] += 1
            await send(session.writer, answer)

    # --- the other server --------------------------------------------------------------------------------------------

    async def _follow(self, host: str, port: int) -> None:
        """As long as it answers, its keys are ours as well."""
        known = context(self._config.identity, server=False)
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, PayloadError, ssl.SSLError):
                async with asyncio.timeout(SENT_S):
                    reader, writer = await asyncio.open_connection(host, port, ssl=known)
                try:
                    await self._listen_to_peer(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(RETRY_S)

    async def _listen_to_peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = common_name(writer.get_extra_info("peercert"))
        if name != self._config.peer_name:
            self._say(f"ALARM the other server calls itself {name!r}, not {self._config.peer_name!r}")
            return
        again = max(1.0, self._config.takeover_s / 3)
        while True:
            for group in self._authority.policies:
                await send(writer, Pull(group))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again):
                    while True:
                        await self._told_by_peer(await receive(reader))

    async def _told_by_peer(self, message: Message) -> None:
        self._authority.heard(now_us())
        if isinstance(message, Keys) and self._authority.merge(message, now_us()):
            await self._publish([message.group])
