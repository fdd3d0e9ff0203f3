"""``flisr demo``: a fault on a simulated feeder, every IED a process of its own, and the verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from agent.security.frames import ALGORITHMS, Algorithm


@click.command()
@click.option("--scenario", "name", metavar="NAME", help="Which scenario; see --list. Or a file of flisr simulate.")
@click.option("--list", "listing", is_flag=True, help="Name the scenarios.")
@click.option("--seed", type=int, help="Repeat a run's randomness.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder; must not exist.")
@click.option(
    "--transport",
    type=click.Choice(["auto", "l2", "udp"]),
    default="auto",
    show_default=True,
    help="Ethernet frames in network namespaces, or R-GOOSE and R-SV over loopback multicast.",
)
@click.option(
    "--algorithm",
    type=click.Choice([algorithm.text for algorithm in Algorithm if not algorithm.encrypts]),
    default=Algorithm.HMAC_SHA256_128.text,
    show_default=True,
    help="What GOOSE is signed with. (Encrypted sessions could not be judged by what was heard.)",
)
@click.option("--no-live", is_flag=True, help="No live view.")
def demo(**options: Any) -> None:
    """Play a fault on the demonstration feeder with real processes and real frames.

    Works as root and as an ordinary user. The run folder holds events, frames (pcap), fault records (COMTRADE) and a
    report. Exit status: 0 if every invariant held and the end state is right, 1 if not, 2 if it cannot be played.
    """
    sys.exit(_run(**options))


def _run(
    name: str | None,
    listing: bool,
    seed: int | None,
    as_json: bool,
    out: Path | None,
    transport: str,
    algorithm: str,
    no_live: bool,
) -> int:
    from simulator.demo import scenario as scenarios

    if listing:
        _list(scenarios.table(), as_json)
        return 0
    try:
        if name is not None and name.endswith((".yaml", ".yml", ".json")):
            from simulator.demo import shrunk

            chosen, recorded = shrunk.read(Path(name))
            seed = recorded if seed is None else seed
        else:
            chosen = scenarios.find(name or scenarios.DEFAULT)
        if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise scenarios.ScenarioError(f"{out} exists and is not empty")
        from simulator.demo import demonstrate

        transport = demonstrate.choose_transport(transport, chosen)
    except scenarios.ScenarioError as error:
        raise click.UsageError(str(error)) from error
    folder = demonstrate.run_folder(out, chosen.name)
    return _play(chosen, seed, as_json, folder, transport, no_live, ALGORITHMS[algorithm])


def _list(table: tuple[Any, ...], as_json: bool) -> None:
    if as_json:
        from simulator.demo.demonstrate import plain_listing

        click.echo(json.dumps(plain_listing(table)))
        return
    width = max(len(s.name) for s in table)
    for entry in table:
        click.echo(f"{entry.name:{width}}  {entry.description}")


def _play(
    chosen: Any, seed: int | None, as_json: bool, folder: Path, transport: str, no_live: bool, algorithm: Algorithm
) -> int:
    from rich.console import Console

    from simulator.demo.demonstrate import demonstrate
    from simulator.demo.live import View, verdict_table

    console = Console(stderr=as_json)
    live = not no_live and console.is_terminal
    if not live:
        click.echo(f"{chosen.name}: {chosen.description}", err=as_json)
    verdict = demonstrate(
        chosen, seed, transport, folder, lambda feeder: View(feeder, chosen.name, console, live), algorithm
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(verdict.plain()))
    else:
        console.print(verdict_table(verdict))
    return 0 if verdict.passed else 1
