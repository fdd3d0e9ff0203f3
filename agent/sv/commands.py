"""``flisr sv``: listen to Sampled Values, look at them, publish a stream, play a record. For commissioning."""

from __future__ import annotations

import cmath
import contextlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agent.console import wide_console
from agent.goose.outgoing import OutgoingError, outgoing_options, way_name
from agent.goose.tools import FILE, Recording, keys_of, names_of, packets, source_options

KEPT_MAX = 500_000
REDRAW_S = 0.25
LAYOUTS = ("9-2LE-80 50 Hz", "9-2LE-80 60 Hz", "F4800S2I4U4 50 Hz", "F4800S2I4U4 60 Hz")
frequency_option = click.option(
    "--frequency", default=50.0, show_default=True, type=click.FloatRange(10, 100), help="Nominal, Hz."
)


@click.group()
def sv() -> None:
    """Listen to Sampled Values, look at phasors and waveforms, publish a stream, play a fault record."""


class _Ear:
    """Frames to streams; what is no Sampled Values frame, or not authentic, is counted."""

    def __init__(self, frequency: float, keys: Path | None, sv_id: str = "", window_s: float = 0.2) -> None:
        from agent.sv.watch import Watch

        self.watch = Watch(frequency, window_s)
        self.refused: Counter[str] = Counter()
        self.frames = 0
        self._keys = keys_of(keys)
        self._sv_id = sv_id

    def take(self, packet: Any, link_type: int) -> bool:
        """Whether it was a frame of a stream that is asked for."""
        from agent.goose.codec import CodecError
        from agent.goose.tap import payload_of
        from agent.security.frames import FrameError
        from agent.sv.frame import open_payload

        payload = payload_of(packet.frame, link_type)
        if payload is None or not payload.sampled:
            return False
        try:
            opened = open_payload(payload.octets, self._keys, routed=payload.routed)
        except (CodecError, FrameError) as error:
            self.refused[error.cause] += 1
            return False
        if self._sv_id and opened.pdu.asdus[0].sv_id != self._sv_id:
            return False
        self.watch.take(opened.pdu.asdus, opened.appid, packet.t_us, payload.routed)
        self.frames += 1
        return True


@sv.command()
@source_options
@frequency_option
def sniff(
    file: Path | None, interface: str, groups: tuple[str, ...], port: int, address: str, count: int | None,
    seconds: float | None, write: Path | None, scd: Path | None, keys: Path | None, as_json: bool, frequency: float,
) -> None:  # fmt: skip
    """List the streams on an interface, in multicast groups, or in FILE: rates, gaps, jitter, quality, phasors.

    With --keys, frames that are not authentic are refused and counted. Live, 5 seconds unless told otherwise.
    """
    from agent.sv.display import SCALES, plain, streams_table

    names = names_of(scd)
    ear = _Ear(frequency, keys)
    recording = Recording(write, KEPT_MAX)
    limit = 5.0 if seconds is None and count is None else seconds
    for packet, link_type in packets(file, interface, groups, port, address, limit):
        if ear.take(packet, link_type):
            recording.keep(packet, link_type)
            if count is not None and ear.frames >= count:
                break
    recording.write()
    streams = list(ear.watch.streams.values())
    if as_json:
        rows = [plain(stream, names, SCALES) for stream in streams]
        click.echo(json.dumps({"frames": ear.frames, "refused": dict(ear.refused), "streams": rows}))
    else:
        wide_console().print(streams_table(streams, names))
        if ear.refused:
            click.echo("refused: " + ", ".join(f"{n} {cause}" for cause, n in sorted(ear.refused.items())))
    if not ear.frames:
        click.echo("no Sampled Values frame was heard", err=True)
        sys.exit(1)


@sv.command()
@source_options
@frequency_option
@click.option("--sv-id", default="", help="The stream to look at; without it, the first one heard.")
@click.option("--window", default=0.2, show_default=True, type=click.FloatRange(0.02, 600), help="Seconds to draw.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw that into this file.")
def scope(
    file: Path | None, interface: str, groups: tuple[str, ...], port: int, address: str, count: int | None,
    seconds: float | None, write: Path | None, scd: Path | None, keys: Path | None, as_json: bool, frequency: float,
    sv_id: str, window: float, png: Path | None,
) -> None:  # fmt: skip
    """Look at one stream: phasors and waveform, live in the terminal, or its last cycles as a picture."""
    from rich.live import Live

    from agent.sv.display import SCALES, draw, plain, scope_table

    names = names_of(scd)
    ear = _Ear(frequency, keys, sv_id, window)
    recording = Recording(write, KEPT_MAX)
    console = wide_console(stderr=as_json)
    drawn = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for packet, link_type in packets(file, interface, groups, port, address, seconds):
            if not ear.take(packet, link_type):
                continue
            recording.keep(packet, link_type)
            if file is None and console.is_terminal and time.monotonic() - drawn > REDRAW_S:
                live.update(scope_table(next(iter(ear.watch.streams.values())), SCALES), refresh=True)
                drawn = time.monotonic()
            if count is not None and ear.frames >= count:
                break
    stream = next(iter(ear.watch.streams.values()), None)
    if stream is None:
        raise click.ClickException(f"no stream {sv_id} was heard" if sv_id else "no Sampled Values frame was heard")
    recording.write()
    if png is not None:
        try:
            draw(stream, SCALES, png)
        except ImportError:
            raise click.ClickException("pictures need matplotlib: pip install 'flisr[simulator]'") from None
    if as_json:
        click.echo(json.dumps(plain(stream, names, SCALES)))
    else:
        console.print(scope_table(stream, SCALES))


def _outlet(command: Any) -> Any:
    """Which stream of ours, where it goes, and how it is signed."""
    options = (
        outgoing_options,
        click.option("--scd", type=FILE, help="Take APPID, address and confRev of the stream from this SCL file."),
        click.option("--sv-id", required=True, help="svID."),
        click.option("--appid", default="4000", show_default=True, metavar="HEX", help="Without an SCL file: APPID."),
        click.option("--mac", default="01-0C-CD-04-00-01", show_default=True, help="Destination address."),
        click.option("--conf-rev", default=1, show_default=True, help="confRev."),
        click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True, help="Frames."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@sv.command()
@_outlet
@click.option("--current", default=100.0, show_default=True, help="A, r.m.s. of each phase.")
@click.option("--voltage", default=5773.5, show_default=True, help="V, r.m.s. to earth.")
@click.option("--angle", default=-25.0, show_default=True, help="Degrees of the currents against the voltages.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="How long.")
@click.option("--simulation", is_flag=True, help="Mark as simulation.")
def publish(**options: Any) -> None:
    """Publish a balanced three-phase stream, paced by the compiled source. Agents that listen will believe it."""
    from agent.core.source import Segment, SvSource, Wave
    from agent.sv.outlet import config_of

    try:
        source = SvSource(config_of(options))
        waves = []
        for magnitude, turn in ((options["current"], math.radians(options["angle"])), (options["voltage"], 0.0)):
            waves += [Wave(cmath.rect(magnitude, turn - k * 2 * math.pi / 3)) for k in range(3)] + [Wave()]
        source.set_segment(Segment(time.time_ns() // 1000, tuple(waves)))
        source.start()
    except OutgoingError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{way_name(options)}: {error}") from error
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(options["seconds"])
    source.stop()
    told = {"sv_id": options["sv_id"], **source.counters()}
    click.echo(json.dumps(told) if options["as_json"] else f"{told['frames']} frames sent")


@sv.command()
@click.argument("record", type=FILE)
@_outlet
@click.option("--map", "mapping", multiple=True, metavar="IA=NAME", help="Channel of the record. Repeatable.")
@click.option("--lead-in", default=1.0, show_default=True, type=click.FloatRange(0, 60), help="Seconds of its first "
              "cycle before the record.")  # fmt: skip
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Times.")
def play(record: Path, mapping: tuple[str, ...], lead_in: float, repeat: int, **options: Any) -> None:
    """Play a COMTRADE record (RECORD: .cfg or .cff) as Sampled Values: a factory acceptance test by record."""
    from agent.core.config import Layout
    from agent.sv.outlet import open_outlet, send
    from agent.sv.play import Player, RecordError, read

    try:
        player = Player(
            read(record, dict(_pairs(mapping))), next(x for x in Layout if x.text == options["layout"]), lead_in
        )
        outlet = open_outlet(options)
    except (RecordError, OutgoingError) as error:
        raise click.ClickException(str(error)) from error
    except ImportError:
        raise click.ClickException("reading records needs comtrade: pip install 'flisr[simulator]'") from None
    except OSError as error:
        raise click.ClickException(f"{way_name(options)}: {error.strerror or error}") from error
    told: dict[str, Any] = {"record": player.record.name, "channels": list(player.record.used), "runs": []}
    for _ in range(repeat):
        told["runs"].append(send(outlet, player))
        if not options["as_json"]:
            run = told["runs"][-1]
            click.echo(
                f"{run['frames']} frames, fault record from {run['record_began']} on, latest {run['latest_us']} µs"
            )
    outlet.link.close()
    if options["as_json"]:
        click.echo(json.dumps(told))


def _pairs(texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in texts:
        ours, equals, theirs = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text}: IA=NAME is needed", param_hint="--map")
        yield ours.upper(), theirs
