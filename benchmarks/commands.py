"""``flisr bench``: run a benchmark, print its rows for a person or a program.

A benchmark is a module with a one-line docstring and ``run(quick: bool) -> list[Row]``.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, cast

import click
from rich.console import Console
from rich.table import Table

from benchmarks.row import Row

BENCHMARKS = {
    "loaded": "benchmarks.loaded",
    "mms": "benchmarks.mms",
    "pickup": "benchmarks.pickup",
    "simulate": "benchmarks.simulate",
    "trip": "benchmarks.trip",
    "wire": "benchmarks.wire",
}
"""Name on the command line: module. The order is that of ``--list``."""
TIMED = ("mms",)
"""Those whose ``run`` takes seconds, too."""


class Benchmark(Protocol):
    """What a benchmark's module offers."""

    __doc__: str | None

    def run(self, quick: bool, seconds: float = ...) -> Iterable[Row]:
        """Measure; ``quick`` ends within 60 s. ``seconds`` is known to those of :data:`TIMED` only."""


def load(name: str) -> Benchmark:
    """The benchmark's module; ImportError where something that it needs is missing."""
    return cast(Benchmark, importlib.import_module(BENCHMARKS[name]))


def description(name: str) -> str:
    """First line of the benchmark's docstring, or why it cannot run here."""
    try:
        return (load(name).__doc__ or "").strip().partition("\n")[0]
    except ImportError as error:
        return f"not available: {error}"


def machine() -> dict[str, Any]:
    """What a figure depends on: processor, cores, memory, kernel, Python."""
    model = platform.processor()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kb = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_kb // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def table(name: str, rows: list[Row]) -> Table:
    """The rows for a person."""
    result = Table(title=f"{name}: {description(name)}", title_justify="left")
    for heading in ("case", "metric", "ours", "goal", "met", "peer", "ratio"):
        result.add_column(heading, justify="left" if heading in ("case", "metric") else "right")
    for row in rows:
        met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.met]
        peer = "" if row.peer is None else f"{row.peer:,.4g} ({row.peer_name})"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        ours = "" if row.ours is None else f"{row.ours:,.4g} {row.unit}"
        goal = "" if row.goal is None else f"{'≤' if row.smaller_is_better else '≥'} {row.goal:,.4g}"
        result.add_row(row.case, row.metric, ours, goal, met, peer, ratio)
    return result


@click.command()
@click.argument("name", required=False, type=click.Choice(list(BENCHMARKS)))
@click.option("--list", "listing", is_flag=True, help="Name the benchmarks and stop.")
@click.option("--quick", is_flag=True, help="End within 60 seconds, with fewer repetitions.")
@click.option("--seconds", type=click.FloatRange(min=2), help="How long mms watches memory: 3600 is an hour.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(name: str | None, listing: bool, quick: bool, seconds: float | None, as_json: bool) -> None:
    """Measure ours against goals and peers.

    Exits with 0 when the figures were taken, whether or not they meet their goals: the rows say which do.
    """
    if listing:
        names = [{"name": key, "description": description(key)} for key in BENCHMARKS]
        if as_json:
            click.echo(json.dumps({"benchmarks": names}))
            return
        for item in names:
            click.echo(f"{item['name']:<10} {item['description']}")
        return
    if name is None:
        raise click.UsageError("name a benchmark, or use --list")
    if seconds is not None and name not in TIMED:
        raise click.UsageError(f"{name} takes no --seconds")
    try:
        module = load(name)
    except ImportError as error:
        raise click.ClickException(f"{name}: {error}") from error
    rows = list(module.run(quick) if seconds is None else module.run(quick, seconds))
    if as_json:
        click.echo(json.dumps({"benchmark": name, "machine": machine(), "rows": [row.as_json() for row in rows]}))
        return
    console = Console()
    console.print(table(name, rows))
    where = machine()
    console.print(
        f"{where['cpu']}, {where['cores']} cores, {where['memory_mb']} MB, Linux {where['kernel']}, "
        f"Python {where['python']}, load {where['load_1min']}",
        highlight=False,
    )
