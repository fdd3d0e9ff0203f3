"""What ``flisr mms watch`` follows: all streams of one server in one, with the types that values are shown by."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from open61850.mms.pdu import ObjectName
from open61850.mms.types import MmsType

from agent.mms.client import blocks as control_blocks
from agent.mms.client import directory, show
from agent.mms.client.blocks import Wanted
from agent.mms.client.connection import Connection
from agent.mms.client.described import ServerDescription
from agent.mms.client.errors import MmsError, ReferenceNotFoundError
from agent.mms.client.link import Limits, Server
from agent.mms.client.marks import Marks
from agent.mms.client.session import Session
from agent.mms.client.stream import Item, Stream


class Watch:
    """Use :meth:`follow` once, then :meth:`close`."""

    def __init__(
        self, server: Server, limits: Limits, described: ServerDescription | None, marks: Marks, integrity_ms: int
    ) -> None:
        self.board = show.Board(str(server))
        self._server = server
        self._limits = limits
        self._described = described
        self._marks = marks
        self._integrity_ms = integrity_ms
        self._session: Session | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._types: dict[ObjectName, MmsType | None] = {}

    async def follow(self, blocks: tuple[str, ...], shown: Callable[[dict[str, Any]], bool]) -> None:
        """Show what happens, as JSON and on the board, until ``shown`` has enough. MmsError if there is nothing to
        follow."""
        # The first connection is made here, so that what is wrong with it is told instead of tried again.
        async with await Connection.open(self._server, self._limits) as connection:
            wanted = await self._wanted(connection, blocks)
            await self._learn(connection, wanted)
        session = self._session = Session(self._server, self._limits, marks=self._marks)
        together: asyncio.Queue[tuple[Stream, Item]] = asyncio.Queue()
        for one in wanted:
            self._tasks.append(asyncio.create_task(self._pass_on(session.subscribe(one), together)))
        session.start()
        while True:
            stream, item = await together.get()
            self.board.take(item, self._types)
            enough = shown(show.item(item, self._types))
            stream.dealt_with()
            if enough:
                return
            together.task_done()

    async def close(self) -> None:
        """Give the blocks back and write the marks; OSError if that cannot be done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._marks.close()

    async def _pass_on(self, stream: Stream, together: asyncio.Queue[tuple[Stream, Item]]) -> None:
        async for item in stream:
            together.put_nowait((stream, item))
            # Asking for the next one before this one was shown would say that it was.
            await together.join()

    async def _wanted(self, connection: Connection, blocks: tuple[str, ...]) -> list[Wanted]:
        scl = self._described
        if not blocks and scl is not None:
            blocks = tuple(block.base for block in scl.blocks if block.buffered)
        elif not blocks:
            model = (await directory.discover(connection)).model
            found = [block.name for node in model.logical_nodes() for block in node.control_blocks("BR")]
            blocks = tuple(dict.fromkeys(re.sub(r"\d\d$", "", name) for name in found))
        if not blocks:
            raise ReferenceNotFoundError(f"{self._server}: no buffered report control block; name an unbuffered one")
        return [
            Wanted(block, self._integrity_ms, described=None if scl is None else scl.block(block)) for block in blocks
        ]

    async def _learn(self, connection: Connection, wanted: list[Wanted]) -> None:
        """Members' types, and that the blocks are there."""
        types = directory.Types(connection)
        for one in wanted:
            name = (await control_blocks.candidates(connection, one))[0]
            for member in await control_blocks.members(connection, name):
                try:
                    self._types[member] = await types.of(member)
                except MmsError:
                    self._types[member] = None
