"""What every ``flisr mms`` command is told: which server, how to get in, how long to wait; and completion by <TAB>."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from agent.keyserver.tls import Identity, IdentityError
from agent.mms.client.described import ServerDescription, servers
from agent.mms.client.errors import MmsError
from agent.mms.client.link import Credentials, Limits, Server
from agent.mms.client.plain import printable
from scl.problem import SclError
from scl.read import parse

PLAIN_PORT, SECURE_PORT = 102, 3782
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
AT_ONCE: Final = 40
"""Names that are offered whole."""
KNOWN: Final = 20_000
"""Names kept of a server for completion."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def server_options(command: F) -> F:
    """SERVER and how to get in."""
    for option in reversed((
        click.argument("server", shell_complete=_complete_server),
        click.option("--scd", type=FILE, envvar="FLISR_MMS_SCD", help="SCL file: SERVER may be an IED of it."),
        click.option("--certificate", type=FILE, envvar="FLISR_MMS_CERTIFICATE", help="Who we are (PEM): TLS."),
        click.option("--private-key", type=FILE, envvar="FLISR_MMS_PRIVATE_KEY", help="Its key (PEM, mode 0600)."),
        click.option("--ca", type=FILE, envvar="FLISR_MMS_CA", help="Authority of the servers' certificates (PEM)."),
        click.option("--server-name", default="", help="Name in the server's certificate; default: SERVER."),
        click.option("--plain", is_flag=True, help="Without TLS: laboratory, or a server that has none."),
        click.option("--time-out", default=5.0, show_default=True, type=click.FloatRange(min=0.1), metavar="SECONDS",
                     help="For the connection, and for each answer."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    )):  # fmt: skip
        command = option(command)
    return command


def target(options: dict[str, Any]) -> tuple[Server, Limits, ServerDescription | None]:
    """The server, time-outs, and what SCL says of it; ClickException."""
    files = (options["certificate"], options["private_key"], options["ca"])
    if options["plain"] == any(files) or (any(files) and not all(files)):
        raise click.UsageError("give --certificate, --private-key and --ca together, or --plain")
    try:
        credentials = None if options["plain"] else Credentials(Identity(*files))
    except IdentityError as error:
        raise click.ClickException(str(error)) from None
    name = options["server"]
    known = {} if options["scd"] is None else _described(options["scd"])
    described = known.get(name)
    if known and described is None and not set(".:") & set(name):
        raise click.ClickException(f"{options['scd']} has no server {name}; it has {', '.join(known)}")
    host, port = split(name) if described is None else (described.address, described.port)
    if not host:
        raise click.ClickException(f"{options['scd']}: IED {name} has no IP address")
    port = port or (PLAIN_PORT if options["plain"] else SECURE_PORT)
    expected = options["server_name"] or ("" if described is None else described.ied)
    server = Server(host, port, credentials, expected, "" if described is None else described.ied)
    return server, Limits(options["time_out"], options["time_out"]), described


def split(text: str) -> tuple[str, int | None]:
    """``HOST``, ``HOST:PORT``, ``[IPv6]:PORT``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        return text.strip("[]"), None
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"{text}: HOST[:PORT] is needed")
    return host.strip("[]"), int(port)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what goes wrong is one line, and Ctrl-C none."""
    try:
        return asyncio.run(work)
    except (MmsError, IdentityError) as error:
        raise click.ClickException(printable(str(error))) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror or error}") from None


def _described(scd: Path) -> dict[str, ServerDescription]:
    try:
        return {server.ied: server for server in servers(parse(scd))}
    except (SclError, ValueError) as error:
        raise click.ClickException(f"{scd}: {error}") from None


# --- completion ------------------------------------------------------------------------------------------------------


def remember(server: str, names: list[str]) -> None:
    """Keep a server's names for completion; where that is not possible, there is none."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        _file(server).write_text(json.dumps({"server": server, "names": names[:KNOWN]}), encoding="utf-8")
    except OSError:
        return


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flisr" / "mms"


def _file(server: str) -> Path:
    return _folder() / ("".join(c if c.isalnum() or c in ".-_" else "_" for c in server) + ".json")


def _kept(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def _complete_server(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Servers that were browsed, and those of the SCL file."""
    known = [str(_kept(path).get("server", "")) for path in sorted(_folder().glob("*.json"))]
    if context.params.get("scd"):
        known += list(_described(context.params["scd"]))
    return [CompletionItem(name) for name in dict.fromkeys(known) if name.startswith(begun)]


def complete_reference(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The next part of a reference, of the names that the last ``flisr mms browse`` of this server found."""
    names = [str(name) for name in _kept(_file(str(context.params.get("server", "")))).get("names", ())]
    return [CompletionItem(item) for item in completions(names, begun)]


def completions(names: list[str], begun: str) -> list[str]:
    """What can follow, a part at a time where it is much. Never one unfinished part alone: the shell would take it for
    the whole and put a blank behind it. Pure."""
    whole = [name for name in names if name.startswith(begun)]
    if len(whole) <= AT_ONCE:
        return whole
    parts = next_parts(whole, begun)
    return parts if len(parts) > 1 else completions(names, parts[0])


def next_parts(names: list[str], begun: str) -> list[str]:
    """Each name that begins so, up to the next ``/`` or ``.``. Pure."""
    found: dict[str, None] = {}
    for name in names:
        if name.startswith(begun):
            rest = name[len(begun) :]
            ends = [rest.find(mark, 1) for mark in "/." if rest.find(mark, 1) >= 0]
            found[begun + (rest[: min(ends) + 1] if ends else rest)] = None
    return list(found)
