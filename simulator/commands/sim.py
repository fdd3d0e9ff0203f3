"""``flisr sim``: the plant and the devices beside an agent, one by one."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

PASS_ON = {"ignore_unknown_options": True, "help_option_names": []}
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group()
def sim() -> None:
    """Run the laboratory's parts one by one: plant, merging unit, breaker IED; ask the phasor network."""


@sim.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plant(arguments: tuple[str, ...]) -> None:
    """The feeder that obeys circuit laws (--help for its options)."""
    from simulator.ieds.plant_process import main

    sys.exit(main(list(arguments)))


@sim.command("merging-unit", context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def merging_unit(arguments: tuple[str, ...]) -> None:
    """A merging unit that publishes Sampled Values (--help for its options)."""
    from simulator.ieds.merging_unit import main

    sys.exit(main(list(arguments)))


@sim.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def breaker(arguments: tuple[str, ...]) -> None:
    """The IED of one breaker: orders in and position out as GOOSE (--help for its options)."""
    from simulator.ieds.breaker import main

    sys.exit(main(list(arguments)))


@sim.command()
@click.argument("socket", type=click.Path(exists=True))
@click.argument("message")
def tell(socket: str, message: str) -> None:
    """Send a JSON message to a running plant and print its answer.

    \b
    '{"start": true}'  '{"snapshot": true}'  '{"stop": true}'
    '{"inject": {"event": "fault", "name": "f", "at": "Z12", "kind": "ag"}}'
    """
    import os

    from simulator.ieds.link import PlantLink

    try:
        document = json.loads(message)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="MESSAGE") from error
    if not isinstance(document, dict):
        raise click.BadParameter("a JSON object is needed", param_hint="MESSAGE")
    end = PlantLink(socket, f"tell-{os.getpid()}")
    try:
        answer = end.ask(document, 2.0)
    except OSError as error:
        raise click.ClickException(f"no answer from {socket}: {error}") from error
    finally:
        end.close()
    click.echo(json.dumps(answer))
    if answer["answer"] == "error":
        sys.exit(1)


def _fault(text: str, number: int) -> Any:
    from simulator.plant.fault import Fault

    at, kind, *rest = text.split(":")
    values = [float(x) for x in rest]
    fraction, rf_ohm = (*values, *(0.5, 0.0)[len(values) :])[:2]
    return Fault(f"fault{number}", at, kind, fraction, rf_ohm)


@sim.command()
@click.argument("feeder", type=click.Path(exists=True, dir_okay=False))
@click.option("--ratings", type=click.Path(exists=True, dir_okay=False), help="For an SCD: what SCL has no place for.")
@click.option(
    "--fault", "faults", multiple=True, metavar="AT:KIND[:FRACTION[:OHM]]", help="For example Z12_S1:bcg:0.3."
)
@click.option("--open", "opened", multiple=True, metavar="DEVICE", help="Open instead of its normal position.")
@click.option("--close", "closed", multiple=True, metavar="DEVICE", help="Closed instead of its normal position.")
@json_option
def solve(
    feeder: str,
    ratings: str | None,
    faults: tuple[str, ...],
    opened: tuple[str, ...],
    closed: tuple[str, ...],
    as_json: bool,
) -> None:
    """Currents and voltages at every device, in the steady state or the first instant of a fault.

    FEEDER is an SCD file or a drawing (.yaml).
    """
    from scl.problem import SclError
    from simulator.ieds.feeder import read_feeder
    from simulator.plant.solved import solved

    try:
        read = read_feeder(feeder, ratings)
        result = solved(read, [_fault(text, k) for k, text in enumerate(faults, 1)], set(opened), set(closed))
    except (ValueError, OSError, SclError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{'device':<8} {'IA':>9} {'IB':>9} {'IC':>9} {'3I0':>9} A {'UA':>8} {'UB':>8} {'UC':>8} V   {'P':>8} kW"
    )
    for row in result["devices"]:
        amps = " ".join(f"{x:9.1f}" for x in (*row["i_a"], row["residual_a"]))
        volts = " ".join(f"{x:8.0f}" for x in row["v_v"])
        click.echo(f"{row['name']:<8} {amps}   {volts}     {row['p_kw']:8.0f}")
    for row in result["faults"]:
        click.echo(f"{row['name']} {row['kind']} at {row['at']}: {' '.join(f'{x:.1f}' for x in row['i_a'])} A")
