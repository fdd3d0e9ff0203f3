"""``flisr agent``: run the agent of one switch, and what a person at the device may ask of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from agent.mms.limits import Limits

REFUSALS = {
    "locked_out": "locked out",
    "tagged": "a tag is set",
    "automation_off": "automation is off",
    "local": "the local/remote key is in local",
    "both_sides_live": "both sides are live",
    "not_dead": "the other side is not known to be dead",
    "stale_data": "data of a neighbour or of the breaker is missing or old",
    "not_agreed": "a neighbour did not agree in time",
    "capacity": "no capacity on the path",
    "position": "already there, or another order is under way",
    "not_authorised": "not authorised",
    "unhealthy": "the device or the agent is not healthy",
    "breaking_capacity": "the current is above what the device may break",
    "fault_present": "fault current, or an opening under way",
    "not_latched": "the lock-out is not on disk",
}

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="State directory of the agent.",
)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
LIMITS = Limits()
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group()
def agent() -> None:
    """Run the agent of one switch, or talk to it at the device."""


def _endpoint(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """``ADDR:PORT``."""
    if value is None:
        return None
    address, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter("ADDR:PORT is needed, for example 127.0.0.1:10102")
    return address.strip("[]") or "127.0.0.1", int(port)


def _servers(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    """Several of them, also in one value."""
    each = (part for value in values for part in value.split(","))
    return tuple(server for part in each if (server := _endpoint(context, parameter, part.strip())) is not None)


@agent.command()
@click.option("--scd", type=FILE, required=True, help="SCD file.")
@click.option("--ratings", type=FILE, help="What SCL has no place for (YAML).")
@click.option("--ied", required=True, help="Name of this agent's IED in the SCD file.")
@click.option(
    "--keys",
    type=FILE,
    help="Key file, see 'flisr keys lab'; read again on SIGHUP. Or:",
)
@click.option(
    "--key-server",
    multiple=True,
    metavar="HOST:PORT[,HOST:PORT]",
    callback=_servers,
    help="Take the keys from this group key server, see 'flisr keys serve'. Repeatable: the next one is asked if one "
    "does not answer.",
)
@click.option("--certificate", type=FILE, help="Who we are, for the key server (PEM).")
@click.option("--private-key", type=FILE, help="The certificate's key (PEM, mode 0600).")
@click.option("--ca", type=FILE, help="The authority that agents and key servers trust (PEM).")
@click.option(
    "--key-hold",
    type=click.IntRange(0, 315_360_000),
    default=604_800,
    show_default=True,
    metavar="SECONDS",
    help="So long the last served key stays good beyond its time while no server answers. The same at all members.",
)
@state_dir_option
@click.option("--station-bus", metavar="IF", help="Interface of the station bus (GOOSE).")
@click.option("--process-bus", metavar="IF", help="Interface of the process bus (Sampled Values).")
@click.option("--udp", is_flag=True, help="R-GOOSE and R-SV over UDP multicast instead of Ethernet frames.")
@click.option("--udp-port", default=102, show_default=True, help="Their port; below 1024 needs the right to bind it.")
@click.option("--udp-interface", default="127.0.0.1", show_default=True, metavar="IP", help="Address to use for them.")
@click.option(
    "--mms",
    callback=_endpoint,
    metavar="ADDR:PORT",
    help="MMS over TLS; clients show a certificate, which says what they may do. Needs the three that follow.",
)
@click.option("--mms-certificate", type=FILE, help="Who we are, for MMS clients (PEM).")
@click.option("--mms-private-key", type=FILE, help="That certificate's key (PEM, mode 0600).")
@click.option(
    "--mms-ca",
    type=FILE,
    help="The authority of the MMS clients' certificates (PEM), its list of revoked ones appended if there is one.",
)
@click.option(
    "--mms-area",
    default="",
    metavar="TEXT",
    help="Our area of responsibility: roles for other areas do not count. Without it areas are not looked at.",
)
@click.option(
    "--mms-clients",
    type=click.IntRange(1, 64),
    default=LIMITS.clients,
    show_default=True,
    help="At a time. Every four more make the server slower: see the reference.",
)
@click.option(
    "--mms-clients-of-address",
    type=click.IntRange(1, 64),
    default=LIMITS.of_address,
    show_default=True,
    help="Of one IP address.",
)
@click.option(
    "--mms-idle",
    type=click.FloatRange(1, 604_800),
    default=LIMITS.idle_s,
    show_default=True,
    metavar="SECONDS",
    help="An association on which nothing goes either way for so long is ended.",
)
@click.option(
    "--mms-session",
    type=click.FloatRange(10, 604_800),
    default=LIMITS.session_s,
    show_default=True,
    metavar="SECONDS",
    help="A TLS association is ended after so long: the next one has new keys, and its certificate is looked at again.",
)
@click.option(
    "--mms-plain", callback=_endpoint, metavar="ADDR:PORT", help="MMS without authentication: laboratory only."
)
@click.option(
    "--time-source",
    type=click.Choice(["kernel", "ptp", "trusted"]),
    default="kernel",
    show_default=True,
    help="Believe the kernel's clock discipline, or linuxptp (else the kernel), or trust the clock unasked.",
)
@click.option("--ptp-socket", default="", metavar="PATH", help="linuxptp's management socket; default: /var/run/ptp4l.")
@click.option(
    "--ptp-domain", type=click.IntRange(0, 255), default=0, show_default=True, help="Domain that linuxptp runs in."
)
@click.option(
    "--ptp-profile",
    type=click.Choice(["any", "61850-9-3", "c37.238-2011", "c37.238-2017"]),
    default="any",
    show_default=True,
    help="What the network was set up for.",
)
@click.option(
    "--ptp-hold-over",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    help="Seconds for which the time still counts after the grandmaster is lost.",
)
@click.option("--priority", default=50, show_default=True, help="SCHED_FIFO priority; 0: none.")
@click.option("--replace", is_flag=True, help="End a protection process that still runs in the state directory first.")
def run(**options: Any) -> None:
    """Run the agent: a station process (this one) and a protection process.

    Nothing listens for MMS without --mms (TLS, roles) or --mms-plain (no authentication).
    SIGTERM ends both processes. If this one dies, protection runs on; start it again and it attaches.
    """
    from agent.station.launch import Options
    from agent.station.launch import run as run_agent

    sys.exit(run_agent(Options(**options), lambda text: click.echo(text, err=True)))


@agent.command()
@click.argument("name", type=click.Choice(["pics", "pixit", "mics"]))
@click.option("--scd", type=FILE, required=True, help="SCD file.")
@click.option("--ied", required=True, help="Name of the IED in the SCD file.")
def statement(name: str, scd: Path, ied: str) -> None:
    """What an agent's MMS server says of itself, as Markdown: services (pics), limits (pixit), data model (mics)."""
    from agent.mms.described import UndescribedError
    from agent.mms.statements import mics, pics, pixit
    from agent.mms.statements.offered import offered
    from agent.mms.statements.page import markdown
    from scl.problem import SclError
    from scl.read import parse

    pages = {"pics": pics.page, "pixit": pixit.page, "mics": mics.page}
    try:
        found = offered(parse(scd), ied)
    except (SclError, UndescribedError, OSError) as error:
        raise click.ClickException(f"{scd}: {error}") from error
    click.echo(markdown(pages[name](found)), nl=False)


def _ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    from agent.station import local

    try:
        return local.ask(state_dir, request)
    except PermissionError as error:
        raise click.ClickException(f"not allowed: {state_dir} belongs to the agent's user") from error
    except local.NotRunningError as error:
        raise click.ClickException(str(error)) from error


@agent.command()
@state_dir_option
@json_option
def status(state_dir: Path, as_json: bool) -> None:
    """Show the state of a running agent."""
    answer = _ask(state_dir, {"op": "status"})
    if "error" in answer:
        raise click.ClickException(answer["error"])
    if as_json:
        click.echo(json.dumps(answer))
        return
    for name, value in answer.items():
        if name == "counters":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {entry}" for key, entry in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        click.echo(f"{name:16} {value}")


def _order(name: str, kind: str, text: str) -> None:
    @agent.command(name=name, help=text)
    @state_dir_option
    @json_option
    def order(state_dir: Path, as_json: bool) -> None:
        answer = _ask(state_dir, {"op": "command", "kind": kind})
        accepted = bool(answer.get("accepted"))
        if as_json:
            click.echo(json.dumps({"command": name, **answer}))
        elif accepted:
            click.echo("done")
        else:
            refusal = str(answer.get("refusal", ""))
            reason = answer.get("error") or REFUSALS.get(refusal, refusal)
            detail = f" ({answer['text']})" if answer.get("text") else ""
            click.echo(f"refused: {reason}{detail}", err=True)
        sys.exit(0 if accepted else 1)


_order("open", "OPEN", "Open the device.")
_order("close", "CLOSE", "Close the device, through the gate and with the neighbours' agreement.")
_order("release", "RELEASE", "Release the lock-out. Only here, at the device; never over MMS. Not a permit to work.")
_order("tag", "TAG", "Set a tag: nobody closes the device until it is taken off.")
_order("untag", "UNTAG", "Take the tag off.")
_order("automation-on", "AUTOMATION_ON", "Let the agent restore.")
_order("automation-off", "AUTOMATION_OFF", "Stop restoring. The agent still trips and locks out.")
_order("return-to-normal", "RETURN_TO_NORMAL", "Return to the normal switching state as a planned sequence.")
