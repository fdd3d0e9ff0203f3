"""Orders on their way to the gate: numbered here, answered by the brain, or here when it says nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.logic.messages import CommandKind, CommandResult, Refusal

ANSWER_S = 6.0
LOCAL_ONLY = frozenset({CommandKind.RELEASE, CommandKind.UNTAG})
"""Taken at the device only, never from the network."""


@dataclass(slots=True)
class _Pending:
    until: float
    done: Callable[[CommandResult], None] | None
    result: CommandResult | None = None


class Orders:
    """``tell`` hands a message to the protection process and says whether that was possible."""

    def __init__(self, tell: Callable[[dict[str, Any]], bool]) -> None:
        self._tell = tell
        self._pending: dict[int, _Pending] = {}
        self._last = 0

    def submit(
        self, kind: CommandKind, origin: str, local: bool, done: Callable[[CommandResult], None] | None = None
    ) -> int:
        """Send an order; its number, 0 if it cannot be sent. ``done`` gets the answer, else :meth:`take` does."""
        if kind in LOCAL_ONLY and not local:
            return 0
        # Never the number of a former station process: its answer might still be under way.
        self._last = max(self._last + 1, time.monotonic_ns() // 1_000_000)
        if not self._tell({"t": "command", "kind": int(kind), "id": self._last, "origin": origin, "local": local}):
            return 0
        self._pending[self._last] = _Pending(time.monotonic() + ANSWER_S, done)
        return self._last

    def answered(self, result: CommandResult) -> None:
        """The brain's answer."""
        order = self._pending.get(result.identifier)
        if order is None:
            return
        order.result = result
        if order.done is not None:
            del self._pending[result.identifier]
            order.done(result)

    def take(self, identifier: int) -> CommandResult | None:
        """The answer, once; None while there is none."""
        order = self._pending.get(identifier)
        if order is None:
            return CommandResult(identifier, False, Refusal.UNHEALTHY, "no answer")
        if order.result is not None:
            del self._pending[identifier]
        return order.result

    def expire(self) -> None:
        """Answer what nobody answered in time; forget what nobody fetched."""
        now = time.monotonic()
        for identifier, order in list(self._pending.items()):
            if now > order.until:
                self.answered(CommandResult(identifier, False, Refusal.UNHEALTHY, "no answer"))
                self._pending.pop(identifier, None)
