"""The audit of the MMS server: who came, what was ordered and written, what was refused. Into the agent's event log.

Nobody can flood the log: of each kind and each origin some lines at once and then one a second are written; the next
line that is written says how many were left out (``left_out``). Orders are never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from agent.mms.requests import Request

AT_ONCE: Final = 20.0
A_SECOND: Final = 1.0
ORIGINS_MAX: Final = 256


class Log(Protocol):
    """Where the lines go: the agent's event log."""

    def append(self, name: str, t_us: int, details: Mapping[str, object]) -> None:
        """Write one line."""


class Audit:
    """Lines about associations. ``now_us`` tells the time of events."""

    def __init__(self, log: Log, now_us: Callable[[], int]) -> None:
        self._log = log
        self._now_us = now_us
        self._left: dict[tuple[str, str], tuple[float, int, int]] = {}
        """By kind and origin: lines that may still be written, when that was true (µs), lines left out since."""

    def associated(self, who: str, address: str, roles: str, tls: str, passed_over: tuple[str, ...]) -> None:
        """A client was let in."""
        details: dict[str, object] = {"who": who, "address": address, "roles": roles, "tls": tls}
        if passed_over:
            details["passed_over"] = list(passed_over)
        more = self._may("associated", address)
        if more is not None:
            self._log.append("mms_associated", self._now_us(), details | more)

    def refused(self, who: str, address: str, why: str) -> None:
        """A client was not let in."""
        more = self._may("refused", address.rpartition(":")[0])
        if more is not None:
            details: dict[str, object] = {"address": address, "why": why}
            if who:
                details["who"] = who
            self._log.append("mms_refused", self._now_us(), details | more)

    def ended(self, who: str, address: str, why: str) -> None:
        """An association is over."""
        more = self._may("ended", address.rpartition(":")[0])
        if more is not None:
            details: dict[str, object] = {"who": who, "address": address, "why": why}
            self._log.append("mms_ended", self._now_us(), details | more)

    def ordered(self, who: str, roles: str, request: Request, error: str, add_cause: int | None) -> None:
        """A control was selected, operated or cancelled, or that was refused."""
        details: dict[str, object] = {"who": who, "roles": roles, "service": request.service}
        details |= {"object": ", ".join(request.objects), "value": request.value, "accepted": not error}
        if error:
            details |= {"why": error, "add_cause": add_cause}
        self._log.append("mms_control", self._now_us(), details)

    def wrote(self, who: str, roles: str, request: Request, error: str) -> None:
        """Something else was written, made or deleted."""
        more = self._may("wrote", who)
        if more is not None:
            details: dict[str, object] = {"who": who, "roles": roles, "service": request.service}
            details |= {"objects": list(request.objects), "accepted": not error} | ({"why": error} if error else {})
            self._log.append("mms_write", self._now_us(), details | more)

    def denied(self, who: str, roles: str, request: Request) -> None:
        """The roles do not allow it; the server has not seen the request."""
        more = self._may("denied", who)
        if more is not None:
            needs = "nobody may" if request.right is None else request.right.value
            details: dict[str, object] = {"who": who, "roles": roles, "service": request.service}
            details |= {"objects": list(request.objects), "needs": needs}
            self._log.append("mms_denied", self._now_us(), details | more)

    def _may(self, kind: str, origin: str) -> dict[str, int] | None:
        """What to add to the line; None: leave it out."""
        now = self._now_us()
        key = (kind, origin)
        left, since, out = self._left.pop(key, (AT_ONCE, now, 0))
        left = min(AT_ONCE, left + max(0, now - since) / 1e6 * A_SECOND)
        while len(self._left) >= ORIGINS_MAX:
            del self._left[next(iter(self._left))]
        if left < 1:
            self._left[key] = (left, now, out + 1)
            return None
        self._left[key] = (left - 1, now, 0)
        return {"left_out": out} if out else {}
