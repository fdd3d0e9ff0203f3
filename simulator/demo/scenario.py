"""What the demonstration plays: scenarios from a table (``scenarios.yaml``)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scl.topology import Feeder

TABLE = Path(__file__).with_name("scenarios.yaml")
DRAWING = Path(__file__).parents[1] / "feeders" / "demo.yaml"
DEFAULT = "between-breakers"
DOINGS = ("plant", "kill", "kill_protection", "restart", "cut", "heal", "order", "mms", "forge")
_KEYS = {"name", "description", "feeder", "steps", "expect", "unseen", "calm", "needs", "mms_readers"}
_STEP_KEYS = {"at_ms", "when", "kind", *DOINGS}


class ScenarioError(ValueError):
    """A scenario that cannot be played, with the reason."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done. Exactly one of ``at_ms``, ``event`` and ``quiet`` says when."""

    do: str
    what: Any
    kind: str = ""
    at_ms: float | None = None
    event: str = ""
    device: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """The end state. Zones that are not dark are fed."""

    faulted: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    dark: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Devices whose close by an MMS client must have been refused."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run; see the head of ``scenarios.yaml`` for the fields."""

    name: str
    description: str
    steps: tuple[Step, ...]
    expect: Expectation | None
    feeder: dict[str, Any] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    calm: bool = True
    needs_l2: bool = False
    mms_readers: int | None = None
    """So many MMS clients read at each agent, beside others (:mod:`simulator.demo.mms_load`); 0: the servers alone."""
    drawing: Path | None = DRAWING
    given: Feeder | None = None
    """The feeder itself, in place of a drawing."""

    def drawn(self) -> dict[str, Any]:
        """The feeder's drawing with this scenario's changes."""
        assert self.drawing is not None
        with self.drawing.open(encoding="utf-8") as file:
            drawing: dict[str, Any] = yaml.safe_load(file)
        if self.feeder:
            drawing = overlay(drawing, self.feeder)
        return drawing


def overlay(base: Any, changes: Any) -> Any:
    """Mappings are merged key by key; everything else is replaced, and so is a mapping by an empty one."""
    if isinstance(base, dict) and isinstance(changes, dict) and changes:
        merged = copy.copy(base)
        for key, value in changes.items():
            merged[key] = overlay(base.get(key), value)
        return merged
    return changes


def _step(item: Any, where: str) -> Step:
    if not isinstance(item, dict) or set(item) - _STEP_KEYS:
        raise ScenarioError(f"{where}: a step is a mapping of {', '.join(sorted(_STEP_KEYS))}: {item!r}"[:300])
    done = [name for name in DOINGS if name in item]
    if len(done) != 1:
        raise ScenarioError(f"{where}: a step does exactly one of {', '.join(DOINGS)}: {item!r}"[:300])
    do = done[0]
    kind = str(item.get("kind", ""))
    match item:
        case {"at_ms": int() | float() as at}:
            return Step(do, item[do], kind, at_ms=float(at))
        case {"when": "quiet"}:
            return Step(do, item[do], kind, quiet=True)
        case {"when": {"event": str(event), "device": str(device)}}:
            return Step(do, item[do], kind, event=event, device=device)
    raise ScenarioError(f"{where}: a step needs at_ms, when: quiet, or when: {{event, device}}: {item!r}"[:300])


def parse(item: Any, where: str = "scenario") -> Scenario:
    """One entry of the table; ScenarioError names what is wrong."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ScenarioError(f"{where}: an entry needs a name")
    where = f"{where} {item['name']}"
    if set(item) - _KEYS:
        raise ScenarioError(f"{where}: unknown key {sorted(set(item) - _KEYS)[0]!r}")
    expect = item.get("expect")
    if expect is not None and set(expect) - {"faulted", "locked", "dark", "refused"}:
        raise ScenarioError(f"{where}: expect has faulted, locked, dark, refused")
    steps = tuple(_step(step, where) for step in item.get("steps", ()))
    if not steps:
        raise ScenarioError(f"{where}: no steps")
    return Scenario(
        name=item["name"],
        description=str(item.get("description", "")),
        steps=steps,
        expect=None if expect is None else Expectation(**{k: tuple(sorted(v)) for k, v in expect.items()}),
        feeder=dict(item.get("feeder") or {}),
        unseen=frozenset(item.get("unseen", ())),
        calm=bool(item.get("calm", True)),
        needs_l2=item.get("needs") == "l2",
        mms_readers=item.get("mms_readers"),
    )


def table() -> tuple[Scenario, ...]:
    """All scenarios, in the table's order."""
    with TABLE.open(encoding="utf-8") as file:
        entries = yaml.safe_load(file)["scenarios"]
    return tuple(parse(entry) for entry in entries)


def find(name: str) -> Scenario:
    """By name; ScenarioError lists the names."""
    for scenario in table():
        if scenario.name == name:
            return scenario
    names = ", ".join(s.name for s in table())
    raise ScenarioError(f"no scenario is called {name!r}; there are: {names}")
