"""``flisr doctor``: what this machine lacks."""

from __future__ import annotations

import json
import sys

import click


@click.group()
def doctor() -> None:
    """Look for what this machine lacks to run an agent. Changes nothing."""


@doctor.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def rt(as_json: bool) -> None:
    """Tell what is missing for answers in time: rights, kernel, processors, clocks.

    Each line says what a lack costs and how to mend it. Exits with 1 if something essential is missing. Run it
    as the agent's user: rights are those of whoever runs it.
    """
    from agent.station.doctor import Verdict, facts, findings

    found = findings(facts())
    lacking = [item for item in found if item.essential and item.verdict is Verdict.MISSING]
    if as_json:
        rows = [{**item._asdict(), "verdict": item.verdict.value} for item in found]
        click.echo(json.dumps({"ready": not lacking, "findings": rows}))
        sys.exit(1 if lacking else 0)
    from rich.console import Console
    from rich.table import Table

    colours = {Verdict.OK: "green", Verdict.MISSING: "yellow", Verdict.UNKNOWN: "dim"}
    table = Table("what", "", "here", "what it costs, how to mend it", box=None, pad_edge=False)
    for item in found:
        colour = "red" if item in lacking else colours[item.verdict]
        advice = "" if item.verdict is Verdict.OK else " ".join(filter(None, (item.costs, item.mend)))
        table.add_row(item.name, f"[{colour}]{item.verdict.value}[/]", item.here, advice)
    Console().print(table)
    if lacking:
        click.echo(f"essential and missing: {', '.join(item.name for item in lacking)}", err=True)
        sys.exit(1)
