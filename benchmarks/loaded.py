"""What an MMS load costs the protection: the trip's time with and without it, alternating, the same faults.

Every agent serves MMS in all plays. In every other one each has two clients that read without a pause, one that holds
reports, and a hostile one (``simulator.demo.mms_load``), in a process of the lowest priority: it stands for machines
elsewhere, but it is on this one. Percentiles are by nearest rank over the trips of all breakers that tripped.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.row import Row
from benchmarks.trip import PLAY_S, QUICK_S, Case, Plays, named, play, rank

PLAYS = 20
READERS = 2
CASE = "between-breakers"
GOAL_SHARE = 10.0
"""Per cent by which the load may lengthen the trip."""
TALLY = "mms-load.json"


def run(quick: bool) -> Iterator[Row]:
    """Pairs of plays with the same seed, now the one first, now the other; quick: as many as a minute has room for."""
    without, with_load, tallies = Plays(), Plays(), []
    begun, longest = time.monotonic(), PLAY_S
    with tempfile.TemporaryDirectory(prefix="flisr-bench-") as folder:
        for seed in range(1, (1 if quick else PLAYS) + 1):
            both = [(0, without), (READERS, with_load)]
            for readers, plays in both if seed % 2 else reversed(both):
                start = time.monotonic()
                if quick and start - begun + longest > QUICK_S:
                    click.echo(f"{readers} readers: not played, the minute is over", err=True)
                    break
                out = Path(folder) / f"{seed}-{readers}"
                scenario = {**named(CASE), "mms_readers": readers, "name": f"{CASE}, {readers} readers"}
                play(out, Case(f"{readers} readers", scenario), seed, plays)
                longest = max(longest if seed > 1 else 0.0, time.monotonic() - start)
                if readers and (out / TALLY).exists():
                    tallies.append(json.loads((out / TALLY).read_text(encoding="utf-8")))
    yield from rows(without.done, with_load.done, tallies)


def rows(
    without: Sequence[dict[str, Any]], with_load: Sequence[dict[str, Any]], tallies: Sequence[Any]
) -> Iterator[Row]:
    """Figures of both, their difference, and how much load it was."""
    figures: dict[str, list[float | None]] = {}
    for case, plays in (("without", without), ("with load", with_load)):
        values = sorted(trip["ms"] for entry in plays for trip in entry["trips"] if trip["ms"] is not None)
        figures[case] = [rank(values, 0.5), rank(values, 0.99), values[-1] if values else None]
        passed = sum(entry["verdict"] == "pass" for entry in plays)
        yield Row(case, "runs that passed", f"of {len(plays)}", passed, len(plays), smaller_is_better=False)
        yield Row(case, "trips", "", len(values), None)
        for metric, figure in zip(("p50", "p99", "max"), figures[case], strict=True):
            yield Row(case, f"trip {metric}", "ms", figure, None)
    for metric, less, more in zip(("p50", "p99", "max"), figures["without"], figures["with load"], strict=True):
        share = None if not less or more is None else round(100 * (more - less) / less, 1)
        yield Row("difference", f"trip {metric}", "%", share, GOAL_SHARE if metric == "p99" else None)
    for what in ("reads", "reports", "altered"):
        rates = [tally.get(what, 0) / tally["seconds"] for tally in tallies]
        yield Row("load", what, "1/s", round(sum(rates) / len(rates), 1) if rates else None, None)
