"""``flisr keys serve``: members pull their group's keys and are told of every change, over TLS with certificates.

One event loop around :class:`agent.keyserver.authority.Authority`: what changes is on disk before anybody hears of it.
The other server, if there is one, is followed as a member would, for all groups; members wait until it was asked once,
so that nobody gets the keys of yesterday from a server that comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from agent.keyserver import payloads, store
from agent.keyserver.authority import Authority
from agent.keyserver.payloads import Keys, Message, PayloadError, Pull, Refused
from agent.keyserver.policy import ServerConfig
from agent.keyserver.tls import IdentityError, cause, context, end_of, name_of, stamp_of
from agent.time.clock import now_us

FIRST_FRAME_S = 10.0
"""Who has connected has so long to show a certificate, so long to ask …"""
SENT_S = 5.0
"""… and so long to take an answer."""
IDLE_S = 900.0
"""A member asks again every five minutes: one that was silent for three times that is gone."""
CONNECTIONS_MAX = 1024
SESSIONS_MAX = 4
"""Of one member; the oldest makes room."""
ENDS_SOON_S = 30 * 86_400
"""So long before a member's certificate is over the audit tells it with every connection."""
TICK_S = 0.5
RETRY_S = 2.0


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
    until_s: float
    """End of its certificate (UTC)."""
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
        self._sessions: list[Session] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._authority = Authority(
            config.groups, config.number, secrets.token_bytes, now_us(),
            peer=config.peer_name, takeover_s=config.takeover_s,
        )  # fmt: skip
        store.load(config.store, self._authority)
        self._disk_refuses = False
        self._settled = asyncio.Event()
        """The other server was asked, or there is none."""
        self._peer_answers = 0
        self._stamp = stamp_of(config.identity)
        self._listening = context(config.identity, server=True)
        self._calling = context(config.identity, server=False)

    async def run(self) -> None:
        """Until cancelled."""
        host, port = self._config.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=128) as listener:
            listener.setblocking(False)
            self.address = listener.getsockname()[:2]
            self._say(f"listening on {self.address[0]}:{self.address[1]}")
            self.ready.set()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep())
                    tasks.create_task(self._accept(listener))
                    if self._config.peer is None:
                        self._settled.set()
                    else:
                        tasks.create_task(self._follow(*self._config.peer))
            finally:
                for task in list(self._tasks):
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Beside the rest, until it ends or the server does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- keys --------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            self._renew()
            self._authority.advance(now_us())
            self._publish()
            await asyncio.sleep(TICK_S)

    def _publish(self) -> None:
        """What has changed, on disk first. While the disk refuses nothing new is told: the former keys go on."""
        groups = self._authority.unannounced()
        if not groups:
            return
        try:
            store.save(self._config.store, self._authority)
        except OSError as error:
            if not self._disk_refuses:
                self._say(f"ALARM {self._config.store}: {error.strerror}: new keys are not handed out")
            self._disk_refuses = True
            return
        self._disk_refuses = False
        self._authority.announce()
        for name in groups:
            self._say(f"group {name}: keys {', '.join(str(k.identifier) for k in self._authority.chains[name].keys)}")
        for session in self._sessions:
            for name in groups:
                if name in session.groups:
                    self._begin(self._tell(session, name))

    def _renew(self) -> None:
        """Certificates or the list of revoked ones may be others than before: all show theirs again."""
        stamp = stamp_of(self._config.identity)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            listening = context(self._config.identity, server=True)
            self._calling = context(self._config.identity, server=False)
        except IdentityError as error:
            self._say(f"ALARM {error}: the former certificates stay")
            return
        self._listening = listening
        self._say("certificates read again")
        for session in self._sessions:
            session.writer.transport.abort()

    async def _tell(self, session: Session, group: str) -> None:
        try:
            await send(session.writer, self._authority.answer(session.name, group, now_us()))
            self.counters["told"] += 1
        except (OSError, TimeoutError) as error:
            self.counters["not told"] += 1
            self._say(f"{session.name}: did not take keys of {group}: {error or 'too slow'}")
            session.writer.close()

    # --- members -----------------------------------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                plain, where = await loop.sock_accept(listener)
            except OSError as error:  # of descriptors, mostly: those that wait will be there in a second
                self._say(f"ALARM cannot accept connections: {error.strerror}")
                await asyncio.sleep(1.0)
                continue
            if len(self._tasks) >= CONNECTIONS_MAX:
                self.counters["too many"] += 1
                plain.close()
                continue
            self._begin(self._attend(plain, f"{where[0]}:{where[1]}"))

    async def _attend(self, plain: socket.socket, where: str) -> None:
        """One connection, from its handshake to its end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, plain, ssl=self._listening, ssl_handshake_timeout=FIRST_FRAME_S
            )
        except OSError as error:
            self.counters["handshake"] += 1
            self._say(f"{where} refused: {cause(error)}")
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        shown = writer.get_extra_info("peercert")
        session = Session(name_of(shown), writer, end_of(shown))
        self._admit(session)
        soon = session.until_s - time.time() < ENDS_SOON_S
        ends = f", its certificate ends on {time.strftime('%F', time.gmtime(session.until_s))}" if soon else ""
        self._say(f"{session.name} connected from {where}{ends}")
        try:
            await self._converse(session, reader)
        except PayloadError as error:
            self.counters[error.cause] += 1
            self._say(f"{session.name}: refused, {error}")
        except TimeoutError:
            self.counters["silent"] += 1
            self._say(f"{session.name}: silent")
        except (OSError, EOFError):
            pass
        finally:
            self._sessions.remove(session)
            writer.close()
            self._say(f"{session.name} has gone")

    def _admit(self, session: Session) -> None:
        """A member that has lost its connections without a word must not be kept out by them."""
        same = [other for other in self._sessions if other.name == session.name]
        if len(same) >= SESSIONS_MAX:
            self.counters["displaced"] += 1
            same[0].writer.transport.abort()
        self._sessions.append(session)

    async def _converse(self, session: Session, reader: asyncio.StreamReader) -> None:
        while True:
            async with asyncio.timeout(IDLE_S if session.groups else FIRST_FRAME_S):
                message = await receive(reader)
            if not isinstance(message, Pull):
                raise PayloadError(f"a {type(message).__name__} from a member", "unknown")
            if time.time() >= session.until_s:
                raise PayloadError("its certificate is over", "certificate")
            if session.name != self._config.peer_name:
                await self._settled.wait()
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
        said = ""
        while True:
            why = "has gone"
            try:
                async with asyncio.timeout(SENT_S):
                    reader, writer = await asyncio.open_connection(host, port, ssl=self._calling)
                try:
                    said = ""
                    await self._listen_to_peer(reader, writer)
                finally:
                    writer.close()
            except (OSError, EOFError, PayloadError) as error:
                why = cause(error)
            if why != said:
                self._say(f"the other server, {self._config.peer_name}: {why}")
                said = why
            self._settled.set()
            await asyncio.sleep(RETRY_S)

    async def _listen_to_peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = name_of(writer.get_extra_info("peercert"))
        if name != self._config.peer_name:
            raise PayloadError(f"ALARM it calls itself {name!r}")
        asking = asyncio.create_task(self._ask_peer(writer))
        try:
            while True:
                async with asyncio.timeout(max(SENT_S, self._config.takeover_s)):
                    message = await receive(reader)
                self._told_by_peer(message)
        finally:
            asking.cancel()

    async def _ask_peer(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # who listens will notice
            while True:
                for group in self._authority.policies:
                    await send(writer, Pull(group))
                await asyncio.sleep(max(1.0, self._config.takeover_s / 3))

    def _told_by_peer(self, message: Message) -> None:
        self._authority.heard(now_us())
        if isinstance(message, Keys) and self._authority.merge(message, now_us()):
            self._publish()
        elif isinstance(message, Refused):
            self.counters["refused by peer"] += 1
        self._peer_answers += 1
        if self._peer_answers >= len(self._authority.policies):
            self._settled.set()
