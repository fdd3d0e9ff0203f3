"""What the commands that publish by hand share: where frames go, how they are signed, what does not fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.goose.frame import ETHERTYPE_GOOSE
from agent.goose.link import L2, Link, Udp, open_link
from agent.goose.tools import FILE
from agent.security.keys import KeyFileError, load
from agent.security.ring import KeyGroup
from scl.names import Names, read_names
from scl.problem import SclError

T = TypeVar("T")


class OutgoingError(ValueError):
    """What was asked for cannot be published; the text says which option and why."""


def outgoing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Interface or group, keys, JSON."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
        click.option("--no-authentication", is_flag=True, help="Send without authentication."),
        click.option("--key-group", default="flisr", show_default=True, help="Which group's key."),
        click.option("--keys", type=FILE, help="Key file to sign with."),
        click.option("--address", default="127.0.0.1", show_default=True, metavar="IP", help="Where the group is."),
        click.option("--port", default=102, show_default=True, help="UDP port of the group."),
        click.option("--group", default="", metavar="IP", help="Publish as R-GOOSE or R-SV to this multicast group."),
        click.option("-i", "--interface", default="", metavar="IF", help="Publish on this interface."),
    ):
        command = option(command)
    return command


def check_way(options: Mapping[str, Any]) -> None:
    """One of an interface and a group."""
    if bool(options["interface"]) == bool(options["group"]):
        raise OutgoingError("give one of --interface and --group")


def way_name(options: Mapping[str, Any]) -> str:
    """For messages."""
    return str(options["interface"] or options["group"])


def open_way(options: Mapping[str, Any], ethertype: int = ETHERTYPE_GOOSE) -> Link:
    """The link; OSError for what the system refused."""
    if options["interface"]:
        return open_link(L2(options["interface"], ethertype=ethertype))
    return open_link(Udp(port=options["port"], interface_address=options["address"]))


def signing_keys(options: Mapping[str, Any]) -> KeyGroup | None:
    """The keys of the group that is to sign; None where that was given up by name."""
    if (options["keys"] is None) != options["no_authentication"]:
        raise OutgoingError("give --keys, or --no-authentication by name")
    try:
        return None if options["keys"] is None else load(options["keys"]).schedule(options["key_group"])
    except KeyFileError as error:
        raise OutgoingError(str(error)) from error


def appid_of(options: Mapping[str, Any]) -> int:
    """From hexadecimal."""
    try:
        return int(options["appid"], 16)
    except ValueError:
        raise OutgoingError(f"--appid {options['appid']!r} is not hexadecimal") from None


def names_in(scd: Path) -> Names:
    """The control blocks of an SCL file."""
    try:
        return read_names(scd)
    except SclError as error:
        raise OutgoingError(f"{scd}: {error}") from error


def chosen(found: Mapping[str, T], name: str | None, option: str, what: str) -> T:
    """The one of them with this name."""
    entry = found.get(name or "")
    if entry is None:
        known = ", ".join(sorted(found)[:6]) or "none"
        raise OutgoingError(f"{option}: no {what} {name!r} in the file (there is: {known} …)")
    return entry
