"""What a subscriber gets: reports, losses and the state of the connection, in order, at its own speed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from agent.mms.client.blocks import Wanted
from agent.mms.client.reports import Follower, Loss, Report

WAITING_MAX: Final = 10_000
"""Reports that wait for the subscriber; after that a buffered block is asked again for the rest, once there is room."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether reports can come."""

    up: bool
    why: str = ""


Item = Report | Loss | State


class Stream(AsyncIterator[Item]):
    """Of one subscription, made by :meth:`agent.mms.client.session.Session.subscribe`. For one consumer.

    Asking for the next item says that the one before was dealt with.
    """

    def __init__(self, wanted: Wanted, position: bytes | None, taken: Callable[[Report], None]) -> None:
        self.wanted = wanted
        self.follower = Follower(position)
        self.behind = False
        """Reports of a buffered block were passed over for want of room: to be asked for again."""
        self.on_item: Callable[[Item], None] | None = None
        """Called at once with each item instead of keeping it; then nobody iterates."""
        self._taken = taken
        self._items: deque[Item] = deque()
        self._given: Report | None = None
        self._dropped = 0
        self._more = asyncio.Event()
        self._closed = False
        self.instance = ""
        """``LD/LN.name`` of the block that was enabled last."""
        self.fresh = position is None
        """All values of the block were not yet asked for."""
        self.again = asyncio.Event()
        """Set when the block has to be enabled again: there is room after :attr:`behind`, or it has changed."""

    def put(self, item: Item) -> bool:
        """Give to the subscriber; False if there was no room for a report."""
        if self.on_item is not None:
            self.on_item(item)
            if isinstance(item, Report):
                self._taken(item)
            return True
        if isinstance(item, Report) and len(self._items) >= WAITING_MAX:
            self._dropped += 1
            return False
        if self._dropped and isinstance(item, Report):
            self._items.append(Loss(item.block, f"{self._dropped} reports passed over: taken too slowly"))
            self._dropped = 0
        self._items.append(item)
        self._more.set()
        return True

    @property
    def full(self) -> bool:
        """No room for one more."""
        return self.on_item is None and len(self._items) >= WAITING_MAX

    def close(self) -> None:
        """No more comes; what waits can still be taken."""
        self._closed = True
        self._more.set()

    def dealt_with(self) -> None:
        """The report that was given last need not come again, even if nobody asks for another one."""
        if self._given is not None:
            self._taken(self._given)
            self._given = None

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Item:
        self.dealt_with()
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        item = self._items.popleft()
        if self.behind and len(self._items) < WAITING_MAX // 2:
            self.again.set()
        if isinstance(item, Report):
            self._given = item
        return item
