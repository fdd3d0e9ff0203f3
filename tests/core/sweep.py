"""Security against inrush, speed on faults, in thousands of random cases: tables of docs/explanation/protection.md.

``python -m tests.core.sweep 2000`` prints them (2000 cases a row).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.core import EarthMode
from benchmarks import waves
from benchmarks.device import BEFORE, PHASES_ONLY, PICKUP_A, noisy, pickup_ms
from benchmarks.inrush import Counts, Iron, closings
from scl import describe
from simulator.plant.events import CloseDevice, NewWaves, OpenDevice, SwitchSource
from simulator.plant.plant import Plant, PlantOptions

DEMO = Path(describe.__file__).parents[1] / "simulator" / "feeders" / "demo.yaml"


def plant_inrush(size_pu: float, cases: int, dice: np.random.Generator) -> Iterator[tuple[str, Counts]]:
    """The devices on the path when the demo's tie T2 takes the whole dead substation, on the plant's own waves."""
    feeder = describe.read(DEMO)
    names = [d.name for d in feeder.devices]
    path = [names.index(name) for name in ("Q2", "F3", "R31")]
    for number in range(cases):
        start = 1_700_000_000_000_000 + int(dice.integers(0, 20_000))
        plant = Plant(feeder, start, PlantOptions(seed=number, inrush_pu=size_pu))
        effects = plant.step(SwitchSource("SRC1", on=False), start) + plant.step(OpenDevice("Q1"), start)
        effects += plant.advance(start + 200_000)
        effects += plant.step(CloseDevice("T2"), start + 200_000) + plant.advance(start + 500_000)
        seen = [e.waves for e in effects if isinstance(e, NewWaves)]
        times = [start + 200_000 + 250 * n for n in range(1000)]
        values = np.array([[w for w in seen if w.start_us <= t][-1].at(t)[path] for t in times])
        for k, name in enumerate(("Q2", "F3", "R31")):
            yield name, noisy(np.asarray(values[:, k] * ([1000] * 4 + [100] * 4)), dice)


def two_ties(gap_ms: float, number: int, dice: np.random.Generator) -> Iterator[tuple[str, float, Counts]]:
    """The same when T2 takes one of its feeders and T1 the other, so much later; with each device's own pick-up (A)."""
    feeder = describe.read(DEMO)
    names = [d.name for d in feeder.devices]
    path = [names.index(name) for name in ("Q2", "F3", "R31", "T2", "T1")]
    start = 1_700_000_000_000_000 + int(dice.integers(0, 20_000))
    plant = Plant(feeder, start, PlantOptions(seed=number))
    effects = plant.step(SwitchSource("SRC1", on=False), start)
    for name in ("Q1", "F1", "F2"):
        effects += plant.step(OpenDevice(name), start)
    effects += plant.advance(start + 200_000)
    effects += plant.step(CloseDevice("T2"), start + 200_000)
    between = start + 200_000 + round(1000 * gap_ms)
    effects += plant.advance(between) + plant.step(CloseDevice("T1"), between) + plant.advance(start + 700_000)
    seen = [e.waves for e in effects if isinstance(e, NewWaves)]
    times = [start + 200_000 + 250 * n for n in range(1400)]
    values = np.array([[w for w in seen if w.start_us <= t][-1].at(t)[path] for t in times])
    for k, index in enumerate(path):
        counts = noisy(np.asarray(values[:, k] * ([1000] * 4 + [100] * 4)), dice)
        yield names[index], feeder.devices[index].phase_pickup_a, counts


def faults(kind: str, multiple: float, dice: np.random.Generator, count: int, rf_ohm: float = 0.0) -> Iterator[Counts]:
    """Random inception, X/R (0.8 to 30), load (up to half the pick-up either way), strength of the network."""
    for _ in range(count):
        level = multiple * dice.uniform(1.2, 7.0)
        scene = waves.fault(
            kind,
            multiple * PICKUP_A,
            float(np.exp(dice.uniform(math.log(0.8), math.log(30)))),
            load=complex(dice.uniform(-0.5, 0.5) * PICKUP_A, dice.uniform(-0.1, 0.1) * PICKUP_A),
            source_share=multiple / level,
            rf=rf_ohm,
        )
        yield noisy(np.asarray(waves.samples(scene, BEFORE, 200, dice.uniform(0, 360)), dtype=np.int32), dice)


def _shown(name: str, found: list[float]) -> None:
    ordered = sorted(found)
    none = sum(x == math.inf for x in ordered)
    at = [ordered[min(len(ordered) - 1, round(q * len(ordered)))] for q in (0.5, 0.99)]
    print(f"{name:60} {at[0]:6.2f} {at[1]:6.2f} {ordered[-1]:6.2f}   none {none}", flush=True)


def main(count: int) -> None:
    dice = np.random.default_rng(20)
    earth = replace(PHASES_ONLY, earth_mode=EarthMode.TRIP)
    blind = replace(PHASES_ONLY, nominal_kv=None)
    print("false pick-ups")
    rows = {
        "Dyn, 2 to 4 pu": (Iron(size_pu=(2, 4)), PHASES_ONLY),
        "Dyn, 4 to 8 pu": (Iron(size_pu=(4, 8)), PHASES_ONLY),
        "Dyn, 8 to 12 pu": (Iron(size_pu=(8, 12)), PHASES_ONLY),
        "Dyn, 4 to 8 pu, residual element too": (Iron(size_pu=(4, 8)), earth),
        "Dyn, 4 to 8 pu, no voltage": (Iron(size_pu=(4, 8)), blind),
        "Dyn, 4 to 8 pu, section with 10 to 30 % of its load": (Iron(size_pu=(4, 8), section=(0.1, 0.3)), PHASES_ONLY),
        "Dyn, 4 to 8 pu, section without load": (Iron(size_pu=(4, 8), section=(0, 0)), PHASES_ONLY),
        "single-phase transformers, 4 to 8 pu": (Iron(size_pu=(4, 8), star=True), PHASES_ONLY),
        "single-phase transformers, 4 to 8 pu, residual element too": (Iron(size_pu=(4, 8), star=True), earth),
    }
    for name, (ranges, config) in rows.items():
        found = [pickup_ms(r, config) for r in closings(ranges, count, dice)]
        false = [x for x in found if x < math.inf]
        print(f"{name:60} {len(false):5d} of {len(found)}", flush=True)
    for size in (4.0, 8.0):
        found = [pickup_ms(r, before=240) for _, r in plant_inrush(size, count // 60, dice)]
        print(
            f"{f'the plant, whole substation, {size:.0f} pu':60} {sum(x < math.inf for x in found):5d} of {len(found)}"
        )
    print("pick-up after inception, ms: median, 99 %, largest")
    for kind, multiple in itertools.product(("ag", "bc", "bcg", "abc"), (1.2, 2.0, 3.0, 5.0, 10.0, 20.0)):
        _shown(f"{kind} {multiple:g} x", [pickup_ms(r) for r in faults(kind, multiple, dice, count)])
    for kind in ("ag", "bcg"):
        _shown(f"{kind} 3 x, residual element too", [pickup_ms(r, earth) for r in faults(kind, 3.0, dice, count)])
    for kind, rf in (("ag", 2.0), ("bc", 1.0), ("abc", 1.0)):
        _shown(f"{kind} 3 x, resistive", [pickup_ms(r) for r in faults(kind, 3.0, dice, count, rf)])
    for kind in ("bc", "abc"):
        _shown(f"{kind} 3 x, no voltage", [pickup_ms(r, blind) for r in faults(kind, 3.0, dice, count)])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
