"""``flisr goose``: listen, publish by hand, send a recording again. For commissioning and the laboratory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from agent.console import wide_console
from agent.goose.outgoing import OutgoingError, outgoing_options, way_name
from agent.goose.tools import FILE, Recording, keys_of, names_of, packets, source_options

AUTHENTIC = {"yes": "authentic", "none": "not authenticated"}
ORDINARY = ("first", "change", "repetition")
KEPT_MAX = 100_000
"""Frames and observations kept for --json and --write."""


@click.group()
def goose() -> None:
    """Listen to GOOSE, publish a control block by hand, send a recording again."""


@goose.command()
@source_options
@click.option("--all", "everything", is_flag=True, help="Show repetitions, too.")
def sniff(
    file: Path | None, interface: str, groups: tuple[str, ...], port: int, address: str, count: int | None,
    seconds: float | None, write: Path | None, scd: Path | None, keys: Path | None, as_json: bool, everything: bool,
) -> None:  # fmt: skip
    """Show what changes on the bus, from an interface, multicast groups, or FILE (pcap, pcapng).

    Lost, repeated, backward and unauthentic frames are named; at the end, a table of the streams.
    """
    from agent.goose.sniff import Sniffer

    sniffer = Sniffer(names_of(scd), keys_of(keys))
    recording = Recording(write, KEPT_MAX)
    events: list[dict[str, Any]] = []
    frames = 0
    for packet, link_type in packets(file, interface, groups, port, address, seconds):
        seen = sniffer.take(packet, link_type)
        if seen is None:
            continue
        frames += 1
        recording.keep(packet, link_type)
        if everything or seen.observation.words != ("repetition",) or seen.observation.changed:
            if not as_json:
                click.echo(sniffer.line(seen))
            elif len(events) < KEPT_MAX:
                events.append(sniffer.plain(seen))
        if count is not None and frames >= count:
            break
    recording.write()
    refused = dict(sniffer.counters)
    if as_json:
        click.echo(json.dumps({"frames": frames, "refused": refused, "streams": sniffer.streams(), "events": events}))
    else:
        _table(sniffer.streams(), refused)
    if not frames:
        click.echo("no GOOSE frame was heard", err=True)
        sys.exit(1)


def _table(streams: list[dict[str, Any]], refused: dict[str, int]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("control block", "APPID", "confRev", "stNum", "sqNum", "TAL ms", "frames", "pause ms", "remarks"):
        table.add_column(title, justify="left" if title in ("control block", "remarks") else "right")
    for row in streams:
        remarks = [f"{n} {word}" for word, n in row["counters"].items() if word not in ORDINARY]
        remarks += [f"{n} {AUTHENTIC.get(word, word)}" for word, n in row["authentic"].items() if word != "not asked"]
        if row["conf_rev_expected"] not in (None, row["conf_rev"]):
            remarks.append(f"SCL says confRev {row['conf_rev_expected']}")
        table.add_row(
            row["gocb_ref"], f"{row['appid']:04X}", str(row["conf_rev"]), str(row["st_num"]), str(row["sq_num"]),
            str(row["time_allowed_to_live_ms"]), str(row["frames"]), f"{row['longest_pause_ms']:.1f}",
            ", ".join(remarks),
        )  # fmt: skip
    wide_console().print(table)
    if refused:
        click.echo("refused: " + ", ".join(f"{n} {cause}" for cause, n in sorted(refused.items())))


@goose.command()
@click.option("--scd", type=FILE, help="SCL file that has the control block.")
@click.option("--control", metavar="REF", help="Which one of it: IED+LD/LLN0$GO$name.")
@click.option("--gocb-ref", metavar="REF", help="Without an SCL file: gocbRef.")
@click.option("--dat-set", metavar="REF", default="", help="Data set reference; made from --gocb-ref if not given.")
@click.option("--go-id", default="", help="goID; the reference if not given.")
@click.option("--appid", default="0001", show_default=True, metavar="HEX", help="APPID.")
@click.option("--mac", default="01-0C-CD-01-00-01", show_default=True, help="Destination address.")
@click.option("--vlan", metavar="ID:PRIORITY", help="VLAN tag.")
@click.option("--conf-rev", default=1, show_default=True, help="confRev.")
@click.option(
    "--value", "values", multiple=True, required=True, metavar="TYPE:VALUE[,VALUE…]",
    help="A member, in order: BOOLEAN:true, INT32:-5, Dbpos:on, FLOAT32:1.5 … Several values: one new state each.",
)  # fmt: skip
@outgoing_options
@click.option("--simulation", is_flag=True, help="Mark as simulation, in header and PDU.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=0), help="How long.")
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(min=0.001), help="Pause between states.")
def publish(**options: Any) -> None:
    """Publish one control block by hand: each state with its retransmissions.

    Numbers begin at stNum 1. Devices that act on the stream will act: not for a bus in service.
    """
    from agent.goose.byhand import prepare, run

    try:
        told = run(prepare(options), options["seconds"], options["every"])
    except OutgoingError as error:
        raise click.ClickException(str(error)) from error
    except PermissionError as error:
        raise click.ClickException("sending frames needs CAP_NET_RAW (root)") from error
    except OSError as error:
        raise click.ClickException(f"{way_name(options)}: {error.strerror or error}") from error
    click.echo(json.dumps(told) if options["as_json"] else f"{told['states']} states in {told['frames']} frames sent")


@goose.command()
@click.argument("file", type=FILE)
@click.option("-i", "--interface", required=True, metavar="IF", help="Send on this interface.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(min=0.001), help="Times real time.")
@click.option("--sampled", is_flag=True, help="Sampled Values of the recording, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def replay(file: Path, interface: str, speed: float, sampled: bool, as_json: bool) -> None:
    """Send the GOOSE frames of FILE again as they are, with their pauses.

    Times and numbers in them are old: a subscriber that checks age and sequence (as ours) drops them, which this shows.
    """
    from agent.goose.link import L2, open_link
    from agent.goose.tap import payload_of

    chosen = []
    for packet, link_type in packets(file, "", (), 0, "", None):
        payload = payload_of(packet.frame, link_type)
        if payload is not None and not payload.routed and (sampled or not payload.sampled):
            chosen.append(packet)
    if not chosen:
        raise click.ClickException(f"{file}: no layer-2 GOOSE frame in it")
    try:
        link = open_link(L2(interface))
    except PermissionError as error:
        raise click.ClickException("sending frames needs CAP_NET_RAW (root)") from error
    except OSError as error:
        raise click.ClickException(f"{interface}: {error.strerror or error}") from error
    began, first, sent, late_us = time.monotonic(), chosen[0].t_us, 0, 0
    for t_us, frame in chosen:
        wait = began + (t_us - first) / 1e6 / speed - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late_us = max(late_us, int(-wait * 1e6))
        sent += link.send(frame)
    link.close()
    told = {"frames": len(chosen), "sent": sent, "seconds": time.monotonic() - began, "latest_us": late_us}
    click.echo(json.dumps(told) if as_json else f"{sent} of {len(chosen)} frames sent in {told['seconds']:.3f} s")
    sys.exit(0 if sent == len(chosen) else 1)
