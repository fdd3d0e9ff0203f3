"""Other thresholds in a protection process that goes on: handed to the compiled receiver, which takes both at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from agent.station import plain
from agent.station.config import Setting
from agent.station.engine import Details


class AdjustedCore(Protocol):
    """Where they go; False: not yet."""

    def adjust(self, phase_pickup_a: float, earth_pickup_a: float) -> bool: ...


class Adjusting:
    """Of one core. What the agent itself changes (``automatic``) waits until nothing is to be decided; what a person
    changes does not: it may be the very thing that ends an episode."""

    def __init__(
        self,
        core: AdjustedCore | None,
        start: Setting | None,
        refuses: Callable[[Setting], str],
        event: Callable[[str, int, Details], None],
    ) -> None:
        self._core = core
        self._refuses = refuses
        self.event = event
        self._given = start
        self._wanted: Setting | None = None
        self._automatic = False

    @property
    def group(self) -> int:
        """The setting group whose values the core was given last; 0: there is no core."""
        return 0 if self._core is None or self._given is None else self._given.group

    def order(self, message: dict[str, Any], now: int, idle: bool) -> None:
        """The station process's ``setting``; said again, it changes nothing. Judged here once more."""
        wanted = plain.load(Setting, message["setting"])
        why = self._refuses(wanted)
        if why:
            self._refuse(wanted, why, now)
            return
        self._wanted = wanted
        self._automatic = bool(message.get("automatic"))
        self.go_on(now, idle)

    def go_on(self, now: int, idle: bool) -> None:
        """Again a tenth of a second later where it could not be done."""
        wanted = self._wanted
        if wanted is None or (self._automatic and not idle):
            return
        if wanted == self._given or self._core is None:
            self._wanted = None
            return
        try:
            if not self._core.adjust(*wanted.pickups):
                return
        except ValueError as error:
            self._wanted = None
            self._refuse(wanted, str(error), now)
            return
        self._given, self._wanted = wanted, None
        phase_a, earth_a = wanted.pickups
        self.event("setting_given", now, (("group", wanted.group), ("phase_a", phase_a), ("earth_a", earth_a)))

    def _refuse(self, wanted: Setting, why: str, now: int) -> None:
        self.event("setting_refused", now, (("group", wanted.group), ("why", why), ("alarm", True)))
