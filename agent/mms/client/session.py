"""A server that stays connected: reconnects by itself, and its reports go on where they stopped.

Nothing here waits for another server: one session, one task of its own, and every wait has an end. Commands are never
repeated; a command on a lost connection fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from open61850.data import IECData, VisibleStringData
from open61850.mms.pdu import InformationReport, ObjectName
from open61850.mms.report import decode_report, is_report

from agent.keyserver.tls import IdentityError
from agent.mms.client import blocks
from agent.mms.client.blocks import Wanted
from agent.mms.client.connection import Connection
from agent.mms.client.control import Controllable, Done, Order, operate
from agent.mms.client.endpoint import MALFORMED
from agent.mms.client.errors import LostError, MmsError, RefusedError, SilentError
from agent.mms.client.link import Limits, Server
from agent.mms.client.marks import Marks
from agent.mms.client.reports import Block, Loss, Report, block_reference
from agent.mms.client.stream import State, Stream

FIRST_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Patience:
    """Of a session (s)."""

    again_s: float = 30.0
    """Longest pause between attempts to connect; the first ones are shorter."""
    idle_s: float = 10.0
    """A server that said nothing for so long is asked whether it lives."""


class Session:
    """Use as an asynchronous context manager, or :meth:`start` and :meth:`close`."""

    def __init__(
        self,
        server: Server,
        limits: Limits = Limits(),  # noqa: B008 (immutable)
        patience: Patience = Patience(),
        marks: Marks | None = None,
    ) -> None:
        self.server = server
        self.connects = 0
        """Associations so far."""
        self.why_down = "not started"
        self.on_state: Callable[[State], None] = lambda _state: None
        self._limits = limits
        self._patience = patience
        self._marks = marks or Marks()
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._streams: list[Stream] = []
        self._by_id: dict[str, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected."""
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run(), name=f"mms {self.server}")

    async def close(self) -> None:
        """Give the blocks back, conclude; streams end when they are empty."""
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
        connection, self._connection = self._connection, None
        self._up.clear()
        self.why_down = "closed"
        if connection is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.request_s):
                    await self._give_back(connection)
            await connection.close()
        for stream in self._streams:
            stream.close()

    async def __aenter__(self) -> Session:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connected(self, timeout_s: float) -> Connection:
        """The association, waited for if there is none now; LostError says why there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._connection is None:
                    await self._up.wait()
        except TimeoutError:
            raise LostError(f"{self.server}: not connected: {self.why_down}") from None
        return self._connection

    # --- services ----------------------------------------------------------------------------------------------------

    async def read(self, name: ObjectName) -> IECData:
        """Read one variable now; LostError if there is no connection."""
        return await self._now().read(name)

    async def operate(self, target: Controllable, value: IECData, order: Order = Order()) -> Done:  # noqa: B008
        """Give a command now; LostError if there is no connection. Never repeated."""
        return await operate(self._now(), target, value, order)

    def _now(self) -> Connection:
        if self._connection is None:
            raise LostError(f"{self.server}: not connected: {self.why_down}")
        return self._connection

    def subscribe(self, wanted: Wanted) -> Stream:
        """Reports of a block from now on, over all interruptions; buffered ones behind the mark, if there is one."""
        key = str(self.server)
        block, position = self._marks.block_of(key, wanted.block)

        def taken(report: Report) -> None:
            if report.entry_id is not None:
                self._marks.taken(key, report.block, report.entry_id)

        stream = Stream(wanted, position, taken)
        stream.instance = block
        self._streams.append(stream)
        if self._connection is not None:
            self._spawn(self._follow(stream, self._connection))
        return stream

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                connection = await Connection.open(self.server, self._limits)
            except (MmsError, IdentityError) as error:
                self._down(str(error))
            else:
                pause = FIRST_PAUSE_S
                try:
                    self._connected(connection)
                    why = await self._watch(connection)
                finally:
                    await self._stop_tasks()
                self._connection = None
                self._down(f"{self.server}: {why}")
            # Not all servers at once after an outage of the network.
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, self._patience.again_s)

    def _connected(self, connection: Connection) -> None:
        self.connects += 1
        self._by_id.clear()
        connection.listen(self._reported)
        connection.misunderstood = self._misunderstood
        self._connection = connection
        self.why_down = ""
        self._up.set()
        self.on_state(State(True))
        for stream in self._streams:
            self._spawn(self._follow(stream, connection))

    def _down(self, why: str) -> None:
        self._up.clear()
        if why == self.why_down:
            return
        self.why_down = why
        self.on_state(State(False, why))
        for stream in self._streams:
            stream.put(State(False, why))

    async def _watch(self, connection: Connection) -> str:
        """Until the association is over; why."""
        loop = asyncio.get_running_loop()
        while not connection.ended.done():
            await asyncio.wait([connection.ended], timeout=self._patience.idle_s)
            if not connection.ended.done() and loop.time() - connection.heard_at >= self._patience.idle_s:
                try:
                    await connection.alive(self._limits.request_s)
                except SilentError:
                    connection.abort("the server is silent")
                except MmsError:
                    # It answers, if only that it does not know the question.
                    continue
        return connection.ended.result()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- reports -----------------------------------------------------------------------------------------------------

    async def _follow(self, stream: Stream, connection: Connection) -> None:
        """Enable the stream's block, again where that is refused, and when reports were passed over."""
        pause, refused_since, said, ours = FIRST_PAUSE_S, 0.0, "", False
        loop = asyncio.get_running_loop()
        while not connection.ended.done():
            waited = loop.time() - refused_since if refused_since else 0.0
            try:
                if ours and stream.follower.block is not None:
                    await blocks.pause(connection, stream.follower.block.name)
                    ours = False
                await self._enable(stream, connection, waited)
            except LostError:
                return
            except SilentError as error:
                # Whether the block is enabled now is not known: a new association begins anew.
                connection.abort(str(error))
                return
            except MmsError as error:
                refused_since = refused_since or loop.time()
                if str(error) != said:
                    said = str(error)
                    stream.put(State(False, said))
            else:
                pause, refused_since, said, ours = FIRST_PAUSE_S, 0.0, "", True
                await stream.again.wait()
                stream.again.clear()
                continue
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, self._patience.again_s)

    async def _enable(self, stream: Stream, connection: Connection, waited_s: float) -> None:
        there = await blocks.candidates(connection, stream.wanted, stream.instance)
        position = stream.follower.position
        faithful = position is not None and stream.instance != ""
        if faithful and waited_s < stream.wanted.reserve_s:
            # Only this instance knows the position: it may still be held by the association that we lost.
            there = there[:1]
        refused: RefusedError | None = None
        before = stream.instance
        for name in there:
            moved: Loss | None = None
            if faithful and block_reference(name) != stream.instance:
                moved = Loss(stream.instance, f"not free any more ({refused}): another instance was taken")

            def ready(block: Block, loss: Loss | None, moved: Loss | None = moved) -> None:
                if moved:
                    stream.follower.position = None
                self._ready(stream, block, moved or loss)

            try:
                fresh = stream.fresh or moved is not None
                await blocks.enable(connection, name, stream.wanted, None if moved else position, ready, fresh)
            except RefusedError as error:
                self._by_id = {key: one for key, one in self._by_id.items() if one is not stream}
                stream.instance = before
                refused = refused or error
                continue
            stream.fresh = False
            return
        if refused is not None:
            raise refused

    def _ready(self, stream: Stream, block: Block, loss: Loss | None) -> None:
        for key in {block.report_id, f"{block.name.domain}/{block.name.item}"}:
            if self._by_id.setdefault(key, stream) is not stream:
                raise RefusedError(block.reference, f"RptID {key} is that of another subscription")
        stream.put(State(True))
        if loss is not None:
            stream.put(loss)
        # Now, not when all is done: what comes from here on is of this instance, and the connection may end before.
        stream.instance = block.reference
        stream.behind = False
        stream.again.clear()
        stream.follower.enabled(block, known=loss is None)

    async def _give_back(self, connection: Connection) -> None:
        for stream in self._streams:
            block = stream.follower.block
            if block is None:
                continue
            if block.buffered and self._marks.kept:
                # It stays reserved for a run that goes on behind the marks.
                with contextlib.suppress(MmsError):
                    await blocks.pause(connection, block.name)
            else:
                await blocks.disable(connection, block.name)

    def _reported(self, message: InformationReport) -> None:
        if not is_report(message) or not message.results or not isinstance(message.results[0], VisibleStringData):
            return
        stream = self._by_id.get(message.results[0].value)
        if stream is None or stream.behind or stream.follower.block is None:
            return
        if stream.full and stream.follower.block.buffered:
            stream.behind = True
            return
        try:
            told = decode_report(message)
        except MALFORMED as error:
            stream.put(Loss(stream.follower.block.reference, f"a report that cannot be understood: {error}"))
            return
        for item in stream.follower.take(told):
            stream.put(item)
        if stream.follower.stale:
            stream.again.set()

    def _misunderstood(self, why: str) -> None:
        for stream in self._streams:
            block = stream.follower.block
            stream.put(
                Loss(block.reference if block else stream.wanted.block, f"a message that cannot be understood: {why}")
            )
