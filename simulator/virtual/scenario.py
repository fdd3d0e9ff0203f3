"""What happens in one run, as data: a feeder, a seed for all chance, and a list of happenings. Also as a YAML file.

    flisr_scenario: 1
    name: seed-17
    seed: 17                      # detection spread, network delay, loss: everything random in the run
    feeder: {...}                 # the fields of scl.topology, or {file: feeder.yaml}
    lan: {loss: 0.02, delay_us: 300, jitter_us: 200, duplicate: 0.01, reorder: 0.01}
    faulty: {D03: {fails_to_open: true}}
    happenings:
      - {at_ms: 1200, do: fault, zone: Z05, kind: abc, section: S004, fraction: 0.5, rf_ohm: 0.0}
      - {at_ms: 1230, do: crash, device: D03}

Happenings: fault (lateral, extinguish_ms), crash, restart (unreadable), partition (groups), heal, source_loss,
source_return, blind, seeing, command (kind, local), forge (what: see :meth:`simulator.virtual.lan.Bus.forge`).
``at_ms`` counts from the start of the run; agents are up from 0 and past their silence at 1 s. ``faulty`` fields are
those of :class:`Faulty`.
"""

from __future__ import annotations

import types
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from scl.topology import Feeder

VERSION = 1


class ScenarioError(ValueError):
    """The scenario file does not say what it must."""


@dataclass(slots=True)
class Faulty:
    """What is wrong with a device or its detection."""

    fails_to_open: bool = False
    fails_to_close: bool = False
    lying_contact: bool = False
    """Says open when told to open, and goes on carrying the current."""
    late_ms: float = 0.0
    """Its pick-up comes this much later."""
    start_only: bool = False
    false_direction: bool = False
    missing: bool = False
    """Sees no fault current at all, and says so."""
    latch_fails: bool = False
    """Its disk is full."""

    @property
    def lies(self) -> bool:
        """Detection that misleads where nothing can show it (start-only is weak, but true)."""
        return self.missing or self.false_direction or self.late_ms > 0.0


@dataclass(slots=True)
class Lan:
    """How the station bus behaves."""

    loss: float = 0.0
    delay_us: int = 250
    jitter_us: int = 150
    duplicate: float = 0.0
    reorder: float = 0.0


@dataclass(slots=True)
class Happening:
    """One thing that happens; which fields count depends on ``do``."""

    at_ms: float
    do: str
    device: str = ""
    zone: str = ""
    section: str = ""
    fraction: float = 0.5
    kind: str = ""
    rf_ohm: float = 0.0
    lateral: bool = False
    extinguish_ms: float = 0.0
    source: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    local: bool = False
    unreadable: bool = False
    what: str = ""


@dataclass(slots=True)
class Scenario:
    """One run, completely."""

    name: str
    seed: int
    feeder: Feeder
    lan: Lan = field(default_factory=Lan)
    faulty: dict[str, Faulty] = field(default_factory=dict)
    happenings: tuple[Happening, ...] = ()
    run_ms: float = 0.0
    """0: until everything has settled."""

    @property
    def calm(self) -> bool:
        """All agents healthy, every frame delivered in the end, nobody lies: invariants 4 and 5 hold in full."""
        disturbing = {"crash", "restart", "partition", "heal", "blind", "seeing", "command"}
        return (
            not self.faulty
            and not any(h.do in disturbing for h in self.happenings)
            and all(d.merging_unit for d in self.feeder.devices)
        )


_DO = {
    "fault", "crash", "restart", "partition", "heal", "source_loss", "source_return", "blind", "seeing", "command",
    "forge",
}  # fmt: skip


def check(scenario: Scenario) -> None:
    """Names resolve and happenings are known; ScenarioError says what does not."""
    feeder = scenario.feeder
    zones = {z.name for z in feeder.zones}
    sources = {s.name for s in feeder.sources}
    sections = {s.name for s in feeder.sections}
    for name in scenario.faulty:
        if name not in feeder.device_index:
            raise ScenarioError(f"faulty: no device {name!r}")
    for h in scenario.happenings:
        where = f"happening at {h.at_ms} ms"
        if h.do not in _DO:
            raise ScenarioError(f"{where}: unknown {h.do!r}; known are {', '.join(sorted(_DO))}")
        if h.device and h.device not in feeder.device_index:
            raise ScenarioError(f"{where}: no device {h.device!r}")
        if h.do in ("crash", "restart", "blind", "seeing", "command", "forge") and not h.device:
            raise ScenarioError(f"{where}: {h.do} needs a device")
        if h.do == "fault" and h.zone not in zones:
            raise ScenarioError(f"{where}: no zone {h.zone!r}")
        if h.do == "fault" and h.section and h.section not in sections:
            raise ScenarioError(f"{where}: no section {h.section!r}")
        if h.do.startswith("source") and h.source not in sources:
            raise ScenarioError(f"{where}: no source {h.source!r}")
        for name in (n for group in h.groups for n in group):
            if name not in feeder.device_index:
                raise ScenarioError(f"{where}: no device {name!r}")


# --- files -----------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _sparse(item: Any, keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    plain = {}
    for f in fields(item):
        value = getattr(item, f.name)
        if f.name in keep or value != f.default:
            plain[f.name] = _plain(value)
    return plain


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """The file's content."""
    feeder = _plain(asdict(scenario.feeder))
    del feeder["device_index"]
    return {
        "flisr_scenario": VERSION,
        "name": scenario.name,
        "seed": scenario.seed,
        "run_ms": scenario.run_ms,
        "lan": _plain(asdict(scenario.lan)),
        "faulty": {name: _sparse(item) for name, item in scenario.faulty.items()},
        "happenings": [_sparse(item) for item in scenario.happenings],
        "feeder": feeder,
    }


_HINTS: dict[type, dict[str, Any]] = {}


def _build(cls: Any, value: Any, where: str) -> Any:
    """A value of a type from plain data; unknown or missing fields are refused with their place."""
    origin = get_origin(cls)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in get_args(cls) if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ScenarioError(f"{where}: a list is needed")
        return tuple(_build(get_args(cls)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if is_dataclass(cls):
        if not isinstance(value, dict):
            raise ScenarioError(f"{where}: a mapping is needed")
        hints = _HINTS.setdefault(cls, get_type_hints(cls))  # type: ignore[arg-type]
        names = {f.name for f in fields(cls)} - {"device_index"}
        for name in value:
            if name not in names:
                raise ScenarioError(f"{where}: unknown field {name!r}")
        try:
            return cls(**{k: _build(hints[k], v, f"{where}.{k}") for k, v in value.items()})  # type: ignore[operator]
        except TypeError as error:
            raise ScenarioError(f"{where}: {error}") from None
    try:
        if cls in (int, float, str):
            if isinstance(value, bool) or not isinstance(value, str if cls is str else (int, float, str)):
                raise ValueError(f"{value!r} is not a {cls.__name__}")
            return cls(value)
        if cls is bool:
            if not isinstance(value, bool):
                raise ValueError(f"{value!r} is not true or false")
            return value
        return cls(value)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from None


def from_dict(data: Any, where: str = "scenario") -> Scenario:
    """A checked scenario from the file's content; ScenarioError names the field that is wrong."""
    if not isinstance(data, dict) or data.get("flisr_scenario") != VERSION:
        raise ScenarioError(f"{where}: not a scenario file (flisr_scenario: {VERSION} is missing)")
    for name in ("seed", "feeder"):
        if name not in data:
            raise ScenarioError(f"{where}: {name} is missing")
    feeder = data["feeder"]
    if isinstance(feeder, dict) and set(feeder) == {"file"}:
        from scl.describe import read

        built: Feeder = read(Path(str(feeder["file"])))
    else:
        built = _build(Feeder, feeder, "feeder")
    faulty = data.get("faulty") or {}
    scenario = Scenario(
        name=str(data.get("name", "scenario")),
        seed=_build(int, data["seed"], "seed"),
        feeder=built,
        lan=_build(Lan, data.get("lan") or {}, "lan"),
        faulty={str(k): _build(Faulty, v, f"faulty.{k}") for k, v in faulty.items()},
        happenings=_build(tuple[Happening, ...], data.get("happenings") or [], "happenings"),
        run_ms=_build(float, data.get("run_ms", 0.0), "run_ms"),
    )
    check(scenario)
    return scenario


def save(scenario: Scenario, path: Path) -> None:
    """Write it as YAML."""
    path.write_text(yaml.safe_dump(to_dict(scenario), sort_keys=False, width=120), encoding="utf-8")


def load(path: Path) -> Scenario:
    """Read a scenario file (YAML, hence JSON too)."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: {error}") from None
    return from_dict(data, str(path))
