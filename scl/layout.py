"""Which zone is drawn under which: a forest that grows from the sources along the normally closed devices."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from scl.topology import Feeder

OPEN, CLOSED, INTERMEDIATE, BAD = "open", "closed", "intermediate", "bad"
_DBPOS = (INTERMEDIATE, OPEN, CLOSED, BAD)

Positions = Mapping[str, str | int]
"""Device name to ``open``, ``closed``, ``intermediate``, ``bad`` or the number of Dbpos (0 intermediate, 1 open …)."""
ZoneStates = Mapping[str, str]
"""Zone name to ``live``, ``dead``, ``faulted``, ``restored``, ``shed`` or any word of the caller's."""


@dataclass(slots=True)
class Branch:
    """A zone in the forest."""

    zone: int
    by: int | None
    """Device through which it is reached; None for a root."""
    children: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Forest:
    """All zones once, and the devices that close no gap between them (ties, rings)."""

    roots: tuple[Branch, ...]
    ties: tuple[int, ...]


def forest_of(feeder: Feeder) -> Forest:
    """Breadth first from all sources together; zones that no source reaches become roots of their own."""
    seeds = sorted({source.zone for source in feeder.sources}) or [0] if feeder.zones else []
    branches: dict[int, Branch] = {}
    roots: list[Branch] = []
    used: set[int] = set()
    for seed in [*seeds, *(zone.index for zone in feeder.zones)]:
        if seed in branches:
            continue
        starts = seeds if not roots else [seed]
        queue: deque[Branch] = deque()
        for start in starts:
            branches[start] = Branch(start, None)
            roots.append(branches[start])
            queue.append(branches[start])
        while queue:
            branch = queue.popleft()
            for i in feeder.zones[branch.zone].devices:
                device = feeder.devices[i]
                other = device.zone_b if device.zone_a == branch.zone else device.zone_a
                if not device.normally_open and other not in branches:
                    branches[other] = Branch(other, i)
                    branch.children.append(branches[other])
                    queue.append(branches[other])
                    used.add(i)
    return Forest(tuple(roots), tuple(i for i in range(len(feeder.devices)) if i not in used))


def position_of(feeder: Feeder, device: int, positions: Positions | None) -> str:
    """One of ``open``, ``closed``, ``intermediate``, ``bad``; the normal position where none is given."""
    entry = feeder.devices[device]
    value = (positions or {}).get(entry.name)
    if value is None:
        return OPEN if entry.normally_open else CLOSED
    if isinstance(value, int):
        return _DBPOS[value] if 0 <= value < len(_DBPOS) else BAD
    return value.lower() if value.lower() in _DBPOS else BAD


def states_of(feeder: Feeder, positions: Positions | None, zone_states: ZoneStates | None) -> list[str]:
    """A word per zone; ``live`` or ``dead`` by the positions where the caller gives none."""
    live = {source.zone for source in feeder.sources}
    frontier = list(live)
    while frontier:
        zone = frontier.pop()
        for i in feeder.zones[zone].devices:
            if position_of(feeder, i, positions) == CLOSED:
                device = feeder.devices[i]
                for other in (device.zone_a, device.zone_b):
                    if other not in live:
                        live.add(other)
                        frontier.append(other)
    given = zone_states or {}
    return [given.get(zone.name, "live" if zone.index in live else "dead") for zone in feeder.zones]
