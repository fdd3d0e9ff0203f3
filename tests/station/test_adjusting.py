"""Thresholds on their way to the core: judged once more, given when the core takes them, never half."""

from __future__ import annotations

from typing import Any

import pytest

from agent.station import plain
from agent.station.adjusting import Adjusting
from agent.station.config import Setting
from scl.topology import Pickups

START = Setting(1, Pickups(600.0, 120.0))
OTHER = Setting(2, Pickups(560.0, 110.0))


class Core:
    def __init__(self) -> None:
        self.busy = 0
        self.given: list[tuple[float, float]] = []

    def adjust(self, phase_pickup_a: float, earth_pickup_a: float) -> bool:
        if self.busy:
            self.busy -= 1
            return False
        self.given.append((phase_pickup_a, earth_pickup_a))
        return True


class Desk:
    """What the loop does with it."""

    def __init__(self, refuses: str = "") -> None:
        self.core = Core()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.adjusting = Adjusting(self.core, START, lambda _setting: refuses, self.event)

    def event(self, name: str, _now: int, details: Any) -> None:
        self.events.append((name, dict(details)))

    def order(self, setting: Setting, idle: bool = True, automatic: bool = False) -> None:
        self.adjusting.order({"setting": plain.dump(setting), "automatic": automatic}, 1, idle)


def test_a_core_that_is_busy_gets_it_a_moment_later_and_once() -> None:
    desk = Desk()
    desk.core.busy = 2
    desk.order(OTHER)
    assert desk.adjusting.group == 1
    desk.adjusting.go_on(2, True)
    desk.adjusting.go_on(3, True)
    desk.adjusting.go_on(4, True)
    desk.order(OTHER)
    assert desk.core.given == [(560.0, 110.0)]
    assert desk.adjusting.group == 2
    assert [name for name, _ in desk.events] == ["setting_given"]


def test_what_the_agent_itself_changes_waits_for_the_end_of_an_episode_and_a_person_does_not() -> None:
    desk = Desk()
    desk.order(OTHER, idle=False, automatic=True)
    assert desk.core.given == []
    desk.adjusting.go_on(2, False)
    assert desk.core.given == []
    desk.adjusting.go_on(3, True)
    assert desk.core.given == [(560.0, 110.0)]
    desk.order(START, idle=False)
    assert desk.core.given[-1] == (600.0, 120.0)


def test_the_newest_word_counts() -> None:
    desk = Desk()
    desk.order(OTHER, idle=False, automatic=True)
    desk.order(START, idle=False)
    desk.adjusting.go_on(2, True)
    assert desk.core.given == []
    assert desk.adjusting.group == 1


def test_what_is_refused_here_changes_nothing() -> None:
    desk = Desk("phase pick-up 5 A: below minVal, 540 A")
    desk.order(Setting(1, Pickups(5.0, 120.0)))
    desk.adjusting.go_on(2, True)
    assert desk.core.given == []
    assert desk.events[0][0] == "setting_refused"
    assert desk.events[0][1]["alarm"] is True


@pytest.mark.parametrize("message", [{}, {"setting": None}, {"setting": {"group": "x"}}, {"setting": [1, 2, 3]}])
def test_what_is_no_setting_raises_before_anything_changes(message: dict[str, Any]) -> None:
    desk = Desk()
    with pytest.raises((ValueError, KeyError, TypeError)):
        desk.adjusting.order(message, 1, True)
    desk.adjusting.go_on(2, True)
    assert desk.core.given == []


def test_without_a_core_there_is_no_group() -> None:
    adjusting = Adjusting(None, START, lambda _setting: "", lambda *_: None)
    adjusting.order({"setting": plain.dump(OTHER)}, 1, True)
    assert adjusting.group == 0
