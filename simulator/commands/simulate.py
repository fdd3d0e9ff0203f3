"""``flisr simulate``: the agents' brains through many random faults in virtual time, every step judged."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.invariants import NAMES
from simulator.virtual import many
from simulator.virtual.chance import CHAOS, random_scenario
from simulator.virtual.scenario import Scenario, ScenarioError, load, save
from simulator.virtual.show import trace_lines
from simulator.virtual.shrink import shrink
from simulator.virtual.world import World

SHRINK_AT_MOST = 5
"""So many broken seeds are shrunk; the rest is written as it is."""


def _file(directory: Path, seed: int, invariant: int, switches: int, chaos: str, small: bool) -> str:
    scenario = random_scenario(seed, switches, chaos)
    if small and invariant > 0:
        scenario = shrink(scenario)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"broken-{invariant if invariant > 0 else 'error'}-seed-{seed}.yaml"
    save(scenario, path)
    return str(path)


def _name(invariant: int) -> str:
    return NAMES.get(invariant, "the run failed")


def _replay(path: Path, as_json: bool) -> int:
    try:
        scenario: Scenario = load(path)
    except (ScenarioError, OSError) as error:
        raise click.ClickException(str(error)) from error
    outcome = World(scenario).run()
    broken = outcome.broken
    found = []
    if broken:
        found.append({"seed": scenario.seed, "invariant": broken.invariant, "why": broken.why, "file": str(path)})
    if as_json:
        trace = [{"at_us": n.now_us, "device": n.device, "event": n.name, **dict(n.details)} for n in outcome.trace]
        print(json.dumps({"runs": 1, "broken": found, "coverage": outcome.met, "trace": trace}))
    else:
        print("\n".join(trace_lines(outcome.trace, 1_000.0)))
        print(f"broken: {broken.invariant} ({_name(broken.invariant)}): {broken.why}" if broken else "all held")
    return 1 if broken else 0


@click.command()
@click.option("--runs", default=1000, show_default=True, type=click.IntRange(1), help="How many seeds.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option("--jobs", default=0, help="Processes; 0: one a core.")
@click.option("--switches", default=10, show_default=True, type=click.IntRange(3, 400), help="Devices a feeder has.")
@click.option(
    "--chaos", default="mixed", show_default=True, type=click.Choice(CHAOS), help="What else goes wrong beside faults."
)
@click.option("--out", default="simulate-broken", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--shrink/--no-shrink", "small", default=True, help="Reduce broken seeds to small scenario files.")
@click.option("--replay", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Run one scenario file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    runs: int,
    seed: int,
    jobs: int,
    switches: int,
    chaos: str,
    out: Path,
    small: bool,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Run the agents' brains through random faults in virtual time.

    Each seed makes one feeder, one network and one story; the nine invariants are judged on the plant's truth after
    every step. A broken seed is reduced to a small scenario file in --out. Exits with 0 only if every invariant held.
    """
    if replay is not None:
        sys.exit(_replay(replay, as_json))
    jobs = jobs or len(os.sched_getaffinity(0))
    met: Counter[str] = Counter()
    broken: list[many.Answer] = []
    lost = restorable = restored = 0.0
    since = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("seeds", total=runs)
        for answer in many.run(seed, runs, switches, chaos, jobs):
            met.update(answer.met)
            lost, restorable = lost + answer.lost_kw, restorable + answer.restorable_kw
            restored += answer.restored_kw
            if answer.invariant:
                broken.append(answer)
            progress.update(task, advance=1, description=f"seeds ({len(broken)} broken)" if broken else "seeds")
    took = time.monotonic() - since
    found = [
        {
            "seed": b.seed,
            "invariant": b.invariant,
            "name": _name(b.invariant),
            "why": b.why,
            "file": _file(out, b.seed, b.invariant, switches, chaos, small and number < SHRINK_AT_MOST),
        }
        for number, b in enumerate(broken)
    ]
    result: dict[str, Any] = {
        "runs": runs,
        "seed": seed,
        "switches": switches,
        "chaos": chaos,
        "jobs": jobs,
        "runs_per_second": round(runs / took, 1),
        "broken": found,
        "kw": {"lost": round(lost), "restorable": round(restorable), "restored": round(restored)},
        "coverage": dict(sorted(met.items())),
    }
    if as_json:
        print(json.dumps(result))
    else:
        _print(result)
    sys.exit(1 if broken else 0)


def _print(result: dict[str, Any]) -> None:
    print(f"{result['runs']} runs, {result['runs_per_second']} a second on {result['jobs']} cores")
    kw = result["kw"]
    if kw["restorable"]:
        print(f"restored {kw['restored']} of {kw['restorable']} restorable kW ({kw['lost']} kW lost at first)")
    print("met: " + ", ".join(f"{name} {count}" for name, count in result["coverage"].items()))
    for item in result["broken"]:
        print(f"BROKEN {item['invariant']} ({item['name']}), seed {item['seed']}: {item['why']}\n  {item['file']}")
    if not result["broken"]:
        print("every invariant held")
