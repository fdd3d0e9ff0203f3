"""Scenarios a second a core in virtual time, and how they grow with the number of switches."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.row import Row
from simulator.virtual.many import one, seldom_collected


def _rate(switches: int, seconds: float) -> float:
    """Scenarios a second on this core, feeder generation and judging included."""
    done = 0
    since = time.process_time()
    with seldom_collected():
        while time.process_time() - since < seconds or not done:
            answer = one(done, switches, "mixed")
            if answer.invariant < 0:
                raise RuntimeError(f"seed {done} with {switches} switches did not run:\n{answer.why}")
            done += 1
    return done / (time.process_time() - since)


def run(quick: bool) -> Iterator[Row]:
    """The issue's figure, 200 a second a core on 10 switches, and linear growth from there."""
    seconds = 5.0 if quick else 20.0
    rates = {switches: _rate(switches, seconds) for switches in (10, 20, 40, 80)}
    yield Row("random feeders, 10 switches, mixed chaos", "scenarios/s/core", "1/s", rates[10], 200.0, False)
    for switches in (20, 40, 80):
        growth = rates[10] / rates[switches]
        yield Row(f"random feeders, {switches} switches against 10", "cost of a scenario", "x", growth, switches / 10)
