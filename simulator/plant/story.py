"""Scenario files of the plant: JSON into events. Everything in a file that is not understood is an error.

    {"seed": 7, "options": {"inrush_pu": 4.0},
     "events": [{"at_ms": 500, "event": "fault", "name": "f1", "at": "Z12_S1", "kind": "abc", "fraction": 0.5}]}

``at_ms`` counts from the start barrier. Events: ``fault`` (fields of :class:`Fault`, plus ``angle_deg``), ``clear``
(name), ``open``, ``close`` (device; a hand at the mechanism), ``break``, ``repair`` (device, failure), ``source``
(source, on), ``der`` (der, on), ``load`` (load, factor), ``instrument`` (ied and what it is told, see
``simulator.ieds.link``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scl.topology import Feeder
from simulator.plant import events
from simulator.plant.fault import Fault
from simulator.plant.plant import PlantOptions

MAX_BYTES = 1_000_000


class StoryError(ValueError):
    """A scenario that cannot be played, with the reason."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """An order to an instrument's process, passed on as it is: ``{"pause": true}``, ``{"local": true}`` …"""

    ied: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """Events with their time in microseconds after the start barrier."""

    options: PlantOptions
    events: tuple[tuple[int, events.PlantEvent | Instrument], ...]


def _fault(item: dict[str, Any]) -> events.StrikeFault:
    angle = item.pop("angle_deg", None)
    return events.StrikeFault(Fault(**item), None if angle is None else float(angle))


_MAKERS: dict[str, Callable[[dict[str, Any]], events.PlantEvent | Instrument]] = {
    "fault": _fault,
    "clear": lambda item: events.ClearFault(**item),
    "open": lambda item: events.OpenDevice(**item),
    "close": lambda item: events.CloseDevice(**item),
    "break": lambda item: events.Break(item.pop("device"), events.Failure(item.pop("failure")), **item),
    "repair": lambda item: events.Break(item.pop("device"), events.Failure(item.pop("failure")), True, **item),
    "source": lambda item: events.SwitchSource(**item),
    "der": lambda item: events.SwitchDer(**item),
    "load": lambda item: events.ScaleLoad(**item),
    "instrument": lambda item: Instrument(item.pop("ied"), item),
}


def parse_event(item: Any, feeder: Feeder) -> events.PlantEvent | Instrument:
    """One event of a file or of the control socket. StoryError with the reason if it makes no sense here."""
    if not isinstance(item, dict) or item.get("event") not in _MAKERS:
        raise StoryError(f"event must be one of {', '.join(_MAKERS)}: {item!r}"[:300])
    item = dict(item)
    name = item.pop("event")
    try:
        event = _MAKERS[name](item)
    except (TypeError, ValueError, KeyError) as error:
        raise StoryError(f"event {name}: {error}") from error
    known = {
        "device": {d.name for d in feeder.devices},
        "source": {s.name for s in feeder.sources},
        "der": {d.name for d in feeder.ders},
        "load": {x.name for x in feeder.loads},
    }
    for key, names in known.items():
        value = getattr(event, key, None)
        if value is not None and value not in names:
            raise StoryError(f"event {name}: no {key} is called {value!r}")
    if isinstance(event, events.StrikeFault):
        places = {e.name for group in (feeder.sections, feeder.zones, feeder.loads) for e in group}
        places |= {node for zone in feeder.zones for node in zone.nodes}
        if event.fault.at not in places:
            raise StoryError(f"event fault: no section, zone, load or node is called {event.fault.at!r}")
    return event


def parse(text: str, feeder: Feeder) -> Story:
    """A scenario; see the module."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StoryError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or document.keys() - {"seed", "options", "events", "name"}:
        raise StoryError("a scenario is an object with seed, options, events and name, and nothing else")
    try:
        options = PlantOptions(seed=int(document.get("seed", 1)), **document.get("options", {}))
    except (TypeError, ValueError) as error:
        raise StoryError(f"options: {error}") from error
    parsed = []
    for item in document.get("events", []):
        if not isinstance(item, dict) or not isinstance(item.get("at_ms"), int | float):
            raise StoryError(f"every event has at_ms: {item!r}"[:300])
        rest = {k: v for k, v in item.items() if k != "at_ms"}
        parsed.append((round(item["at_ms"] * 1000), parse_event(rest, feeder)))
    return Story(options, tuple(sorted(parsed, key=lambda pair: pair[0])))


def read(path: str | Path, feeder: Feeder) -> Story:
    """A scenario file of at most a megabyte."""
    if Path(path).stat().st_size > MAX_BYTES:
        raise StoryError(f"{path}: larger than {MAX_BYTES} bytes")
    return parse(Path(path).read_text(encoding="utf-8"), feeder)
