"""A scenario file of the simulation (:mod:`simulator.virtual.scenario`), staged with real processes.

Virtual time begins with the agents, the demonstration with a calm feeder: happenings are moved to the front. What the
network loses or delays in virtual time is not repeated here, and detection that lies cannot be staged.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from scl.topology import Feeder
from simulator.demo.scenario import Scenario, ScenarioError, Step
from simulator.virtual import scenario as virtual

FIRST_MS = 300.0
MECHANISM = ("fails_to_open", "fails_to_close", "lying_contact")


def read(path: Path) -> tuple[Scenario, int]:
    """The scenario and its seed; ScenarioError if the file makes no sense or cannot be staged."""
    try:
        found = virtual.load(path)
    except (virtual.ScenarioError, OSError) as error:
        raise ScenarioError(str(error)) from error
    if not found.happenings:
        raise ScenarioError(f"{path}: nothing happens in it")
    faults = [field.name for field in fields(virtual.Faulty)]
    first = min(h.at_ms for h in found.happenings)
    steps = []
    for device, faulty in found.faulty.items():
        wrong = [name for name in faults if getattr(faulty, name) and name not in MECHANISM]
        if wrong:
            raise ScenarioError(f"{path}: {wrong[0]} of {device} cannot be staged with real processes")
        for name in MECHANISM:
            if getattr(faulty, name):
                item = {"event": "break", "device": device, "failure": name}
                steps.append(Step("plant", item, at_ms=0.0))
    for number, happening in enumerate(sorted(found.happenings, key=lambda h: h.at_ms), 1):
        at = happening.at_ms - first + FIRST_MS
        do, what, kind = _staged(happening, found.feeder, number)
        steps.append(Step(do, what, kind, at_ms=at))
    needs_l2 = any(step.do in ("cut", "heal", "forge") for step in steps)
    text = f"from {path.name}: {', '.join(h.do for h in found.happenings)}"
    return Scenario(found.name, text, tuple(steps), None, calm=found.calm, needs_l2=needs_l2, given=found.feeder), (
        found.seed
    )


def _staged(h: virtual.Happening, feeder: Feeder, number: int) -> tuple[str, Any, str]:
    match h.do:
        case "fault":
            return "plant", _fault(h, feeder, number), ""
        case "crash":
            return "kill", h.device, ""
        case "restart" if not h.unreadable:
            return "restart", h.device, ""
        case "partition":
            return "cut", [list(group) for group in h.groups[1:]], ""
        case "heal":
            return "heal", True, ""
        case "source_loss" | "source_return":
            return "plant", {"event": "source", "source": h.source, "on": h.do == "source_return"}, ""
        case "blind" | "seeing":
            unit = feeder.device(h.device).merging_unit
            return "plant", {"event": "instrument", "ied": unit, "pause": h.do == "blind"}, ""
        case "command":
            return "order", h.device, h.kind
        case "forge":
            return "forge", {"device": h.device}, ""
    raise ScenarioError(f"{h.do} at {h.at_ms} ms cannot be staged with real processes")


def _fault(h: virtual.Happening, feeder: Feeder, number: int) -> dict[str, Any]:
    zone = next(z for z in feeder.zones if z.name == h.zone)
    at = h.section or zone.nodes[0]
    if h.lateral:
        at = next(feeder.loads[i].name for i in zone.loads if feeder.loads[i].fused)
    fault: dict[str, Any] = {"event": "fault", "name": f"f{number}", "at": at, "kind": h.kind or "abc"}
    fault |= {"fraction": h.fraction, "rf_ohm": h.rf_ohm}
    if h.extinguish_ms:
        fault |= {"temporary": True, "deionise_ms": h.extinguish_ms}
    return fault
