"""From a seed to a scenario: which feeder, which faults, what goes wrong beside them.

``calm``: faults only (one, two in series, temporary, behind a fuse, busbar, loss of infeed) on a network that loses
frames. ``chaos`` adds crashes and restarts, partitions, stuck and lying mechanisms, wrong detection, blind streams,
conventional IEDs, forged frames and orders by people. ``mixed`` is half of each.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from scl.topology import Feeder
from simulator.virtual.feeders import random_feeder
from simulator.virtual.scenario import Faulty, Happening, Lan, Scenario

FIRST_MS = 1_200.0
KINDS = ("abc", "abc", "bc", "ag", "ag", "bcg")
CHAOS = ("calm", "chaos", "mixed")
FORGED = ("unauthenticated", "replayed", "test", "stale")


def random_scenario(seed: int, switches: int = 10, chaos: str = "mixed") -> Scenario:
    """The scenario of a seed; the same for the same arguments, on every machine."""
    rng = Random(f"{seed}/{switches}/{chaos}")
    feeder = random_feeder(rng, switches)
    wild = chaos == "chaos" or (chaos == "mixed" and rng.random() < 0.5)
    if rng.random() < 0.15:
        feeder = _reclosing(rng, feeder)
    if wild and rng.random() < 0.1:
        feeder = _conventional(rng, feeder)
    lan = Lan(
        loss=rng.choice((0.0, 0.0, 0.01, 0.1)) if wild else rng.choice((0.0, 0.0, 0.0, 0.02)),
        delay_us=rng.randrange(100, 600),
        jitter_us=rng.randrange(0, 400),
        duplicate=rng.choice((0.0, 0.05)),
        reorder=rng.choice((0.0, 0.02)) if wild else 0.0,
    )
    happenings = _faults(rng, feeder)
    faulty: dict[str, Faulty] = {}
    if wild:
        for _ in range(rng.choice((1, 1, 1, 2))):
            _disturb(rng, feeder, happenings, faulty)
    happenings.sort(key=lambda h: h.at_ms)
    return Scenario(f"seed-{seed}", seed, feeder, lan, faulty, tuple(happenings))


def _reclosing(rng: Random, feeder: Feeder) -> Feeder:
    """Feeder heads (breakers on a busbar) get automatic reclose shots."""
    shots = (500.0,) if rng.random() < 0.7 else (300.0, 800.0)
    devices = tuple(
        replace(d, reclose_dead_times_ms=shots)
        if d.kind.value == "breaker" and not d.normally_open and feeder.zones[d.zone_a].busbar
        else d
        for d in feeder.devices
    )
    return replace(feeder, devices=devices, device_index={})


def _conventional(rng: Random, feeder: Feeder) -> Feeder:
    chosen = rng.randrange(len(feeder.devices))
    devices = tuple(replace(d, merging_unit=None) if i == chosen else d for i, d in enumerate(feeder.devices))
    return replace(feeder, devices=devices, device_index={})


def _fault(rng: Random, feeder: Feeder, at_ms: float, zone: int | None = None) -> Happening:
    index = rng.randrange(len(feeder.zones)) if zone is None else zone
    chosen = feeder.zones[index]
    fault = Happening(round(at_ms, 3), "fault", zone=chosen.name, kind=rng.choice(KINDS))
    if chosen.sections:
        fault.section = feeder.sections[rng.choice(chosen.sections)].name
        fault.fraction = round(rng.random(), 3)
    if rng.random() < 0.2:
        fault.rf_ohm = round(rng.uniform(0.0, 1.5), 2)
    if rng.random() < 0.15:
        fault.extinguish_ms = float(rng.randrange(50, 400, 50))
    if any(feeder.loads[i].fused for i in chosen.loads) and rng.random() < 0.4:
        fault.lateral = True
        fault.extinguish_ms = 0.0
    return fault


def _faults(rng: Random, feeder: Feeder) -> list[Happening]:
    at = FIRST_MS + rng.uniform(0.0, 20.0)
    draw = rng.random()
    if draw < 0.08:
        name = rng.choice(feeder.sources).name
        lost = [Happening(round(at, 3), "source_loss", source=name)]
        if rng.random() < 0.4:
            lost.append(Happening(round(at + rng.choice((100.0, 1_000.0, 3_000.0)), 3), "source_return", source=name))
        return lost
    first = _fault(rng, feeder, at)
    if draw < 0.80:
        return [first]
    if draw < 0.88:  # at once or within the first clearing
        return [first, _fault(rng, feeder, at + rng.choice((0.0, 3.0, 20.0, 60.0)))]
    if draw < 0.94:  # in series: a neighbouring zone, the same instant
        index = next(z.index for z in feeder.zones if z.name == first.zone)
        device = feeder.devices[rng.choice(feeder.zones[index].devices)]
        other = device.zone_a if device.zone_b == index else device.zone_b
        return [first, _fault(rng, feeder, at + rng.uniform(0.0, 2.0), other)]
    return [first, _fault(rng, feeder, at + 4_000.0)]


def _disturb(rng: Random, feeder: Feeder, happenings: list[Happening], faulty: dict[str, Faulty]) -> None:
    device = rng.choice(feeder.devices).name
    about = happenings[0].at_ms + rng.choice((-800.0, -300.0, 2.0, 8.0, 30.0, 80.0, 150.0, 300.0, 1_000.0))
    about = round(about + rng.uniform(0.0, 10.0), 3)
    draw = rng.random()
    trouble = faulty.get(device, Faulty())
    if draw < 0.22:
        happenings.append(Happening(about, "crash", device=device))
        if rng.random() < 0.7:
            back = round(about + rng.choice((100.0, 600.0, 1_500.0, 3_000.0)), 3)
            happenings.append(Happening(back, "restart", device=device, unreadable=rng.random() < 0.1))
    elif draw < 0.36:
        names = [d.name for d in feeder.devices]
        rng.shuffle(names)
        cut = rng.randrange(1, len(names))
        happenings.append(Happening(about, "partition", groups=(tuple(names[:cut]), tuple(names[cut:]))))
        if rng.random() < 0.7:
            happenings.append(Happening(round(about + rng.choice((50.0, 500.0, 3_000.0)), 3), "heal"))
    elif draw < 0.48:
        trouble.fails_to_open = True
    elif draw < 0.54:
        trouble.lying_contact = True
    elif draw < 0.58:
        trouble.fails_to_close = True
    elif draw < 0.64:
        trouble.late_ms = rng.choice((2.0, 6.0, 15.0))
    elif draw < 0.68:
        trouble.start_only = True
    elif draw < 0.72:
        trouble.false_direction = True
    elif draw < 0.76:
        trouble.missing = True
    elif draw < 0.79:
        trouble.latch_fails = True
    elif draw < 0.85:
        happenings.append(Happening(about, "blind", device=device))
        if rng.random() < 0.5:
            happenings.append(Happening(round(about + 1_000.0, 3), "seeing", device=device))
    elif draw < 0.92:
        what = rng.choice(FORGED) + "-" + rng.choice(("trip", "close", "report"))
        happenings.append(Happening(about, "forge", device=device, what=what))
    else:
        kind = rng.choice(("OPEN", "CLOSE", "TAG", "RELEASE", "RETURN_TO_NORMAL", "AUTOMATION_OFF"))
        at = round(about + rng.choice((0.0, 1_000.0)), 3)
        local = rng.random() < 0.5 and kind != "RELEASE"
        happenings.append(Happening(max(at, 1_000.0), "command", device=device, kind=kind, local=local))
    if trouble != Faulty():
        faulty[device] = trouble
