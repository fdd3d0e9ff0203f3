"""What the bench commands of GOOSE and Sampled Values share: where frames come from, for how long, with which names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from agent.goose.tap import LINKTYPE_ETHERNET, CaptureError, Packet, Tap, read_capture, write_capture
from agent.security.keys import KeyFileError
from agent.security.keys import load as load_keys
from agent.security.ring import KeyGroup
from scl.names import NOTHING, Names, read_names
from scl.problem import SclError

PATIENCE_S = 0.2
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Interface, groups or a file; how long; names and keys."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, at the end."),
        click.option("--keys", type=FILE, help="Key file: say whether each frame is authentic."),
        click.option("--scd", type=FILE, help="SCL file that gives names to what is heard."),
        click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Keep the frames (pcap)."),
        click.option("--seconds", type=click.FloatRange(min=0), help="Stop after so long."),
        click.option("--count", type=click.IntRange(min=1), help="Stop after so many frames."),
        click.option("--address", default="127.0.0.1", show_default=True, metavar="IP", help="Where groups are."),
        click.option("--port", default=102, show_default=True, help="UDP port of the groups."),
        click.option("--group", "groups", multiple=True, metavar="IP", help="Join a multicast group. Repeatable."),
        click.option("-i", "--interface", default="", metavar="IF", help="Listen to all frames of an interface."),
        click.argument("file", required=False, type=FILE),
    ):
        command = option(command)
    return command


def names_of(scd: Path | None) -> Names:
    """From the file that was named, if one was."""
    try:
        return read_names(scd) if scd else NOTHING
    except SclError as error:
        raise click.ClickException(f"{scd}: {error}") from error


def keys_of(file: Path | None) -> KeyGroup | None:
    """All keys of the file that was named, whatever their group; None: none was."""
    try:
        return KeyGroup(load_keys(file)) if file else None
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error


def packets(
    file: Path | None, interface: str, groups: tuple[str, ...], port: int, address: str, seconds: float | None
) -> Iterator[tuple[Packet, int]]:
    """(packet, link type): a file to its end, or live until the time is over or the person interrupts."""
    if (file is not None) + bool(interface) + bool(groups) != 1:
        raise click.UsageError("give one of: a capture file, --interface, --group")
    if file is not None:
        try:
            yield from read_capture(file)
        except (CaptureError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except ImportError:
            raise click.ClickException("reading captures needs scapy: pip install 'flisr[simulator]'") from None
        return
    try:
        tap = Tap(interface, groups, port, address)
    except PermissionError as error:
        raise click.ClickException(f"listening to {interface or groups[0]} needs CAP_NET_RAW (root)") from error
    except OSError as error:
        raise click.ClickException(f"{interface or ', '.join(groups)}: {error.strerror or error}") from error
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            yield from tap.read(PATIENCE_S if end is None else min(PATIENCE_S, end - time.monotonic()))
    except KeyboardInterrupt:
        return
    finally:
        tap.close()


class Recording:
    """Frames kept for ``--write``, as many as memory is meant for."""

    def __init__(self, path: Path | None, most: int) -> None:
        self._path = path
        self._most = most
        self._packets: list[Packet] = []
        self._link_type = LINKTYPE_ETHERNET
        self._left_out = 0

    def keep(self, packet: Packet, link_type: int) -> None:
        """One frame more, if they are to be written."""
        if self._path is None:
            return
        self._link_type = link_type
        if len(self._packets) < self._most:
            self._packets.append(packet)
        else:
            self._left_out += 1

    def write(self) -> None:
        """To the file that was named, if one was; says how many did not fit."""
        if self._path is None:
            return
        write_capture(self._path, self._packets, self._link_type)
        if self._left_out:
            click.echo(f"{self._path}: the first {self._most} frames; {self._left_out} more were left out", err=True)
