"""``flisr keys``: key files and certificates of the laboratory, and the group key server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.security.frames import ALGORITHMS, Algorithm, Key
from agent.security.keys import KeyFileError, load, write_laboratory_keys


@click.group()
def keys() -> None:
    """Keys that authenticate GOOSE and Sampled Values frames (IEC 62351-6): files, certificates, the key server."""


@keys.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="A group of streams that shares a key. Repeatable."
)
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default=Algorithm.HMAC_SHA256_128.text,
    show_default=True,
    help="HMAC or GMAC and the bits of it that travel; GCM encrypts sessions. GMAC keys are of AES-256.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def lab(out: Path, groups: tuple[str, ...], algorithm: str, as_json: bool) -> None:
    """Write a static key file for the laboratory to OUT (mode 0600; an existing file is left alone)."""
    try:
        made = write_laboratory_keys(out, groups or ("flisr",), ALGORITHMS[algorithm])
    except FileExistsError:
        raise click.ClickException(f"{out} exists; keys are never overwritten") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error
    _tell(out, made, as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Read FILE as an agent would and list its keys, never the secrets."""
    try:
        ring = load(file)
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error
    _tell(file, ring, as_json)


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="Common name of a device's certificate. Repeatable.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    help="Common name of a server's certificate, of keys or of MMS: a device cannot pass for one. Repeatable.",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="NAME=ROLE[,ROLE]",
    help="Common name of an MMS client's certificate, and its roles (IEC 62351-8), as OPERATOR. Repeatable.",
)
@click.option("--area", default="laboratory", show_default=True, help="Area of responsibility of these roles.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=825, show_default=True, help="So long the certificates are good."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def pki(
    folder: Path,
    devices: tuple[str, ...],
    servers: tuple[str, ...],
    roles: tuple[str, ...],
    area: str,
    days: int,
    as_json: bool,
) -> None:
    """Make certificates for the laboratory in FOLDER: NAME.pem and NAME.key for each name, ca.pem if it is not there.

    Nothing is overwritten. The authority's key lies beside them: not for a real feeder.
    """
    from agent.keyserver.pki import enrol

    if not devices and not servers and not roles:
        raise click.UsageError("name a --device, a --server or a --role")
    with _written(folder):
        made = enrol(folder, devices, servers, _extensions(roles, area), days)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "certificates": [path.name for path in made]}))
    else:
        click.echo(f"{folder}: {', '.join(path.name for path in made)}, authority ca.pem")


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """What certificates cannot be made for is one line."""
    from agent.keyserver.pki import PkiError

    try:
        yield
    except PkiError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {folder}: {error.strerror}") from error


def _extensions(roles: tuple[str, ...], area: str) -> dict[str, bytes]:
    """``NAME=ROLE,ROLE`` as what the certificates carry."""
    from agent.mms.roles import DEFINITION, Role, Token, encode

    if not 1 <= len(area) <= 64:
        raise click.UsageError("--area: 1 to 64 characters")
    made = {}
    for text in roles:
        name, _, listed = text.partition("=")
        words = [word.strip().upper() for word in listed.split(",") if word.strip()]
        unknown = [word for word in words if word not in Role.__members__]
        if not name or not words or unknown:
            raise click.UsageError(f"--role {text}: NAME=ROLE is needed, roles are {', '.join(Role.__members__)}")
        made[name] = encode([Token(tuple(int(Role[word]) for word in words), area, 0, DEFINITION)])
    return made


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="So long the list is in time."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def revoke(folder: Path, names: tuple[str, ...], days: int, as_json: bool) -> None:
    """Revoke certificates of the laboratory in FOLDER: they go on the authority's list, in ca.pem.

    Without a NAME the list is only made good for longer: where there is one it must be in time, or nobody is let in.
    Whoever trusts the authority needs the new ca.pem; agents and key servers notice that it has changed.
    """
    from agent.keyserver.pki import revoke as put_on_list

    with _written(folder):
        listed = put_on_list(folder, names, days)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "revoked": list(names), "listed": listed}))
    else:
        click.echo(f"{folder}/ca.pem: {listed} certificates on its list, in time for {days} days")


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=825, show_default=True, help="So long the certificates are good."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def renew(folder: Path, names: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make new keys and certificates in FOLDER in place of those of NAME, with the same roles and uses.

    The former certificate stays good until it is over: revoke it first if its key was lost.
    """
    from agent.keyserver.pki import renew as make_anew

    with _written(folder):
        made = make_anew(folder, names, days)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "certificates": [path.name for path in made]}))
    else:
        click.echo(f"{folder}: {', '.join(path.name for path in made)} made anew")


@keys.command()
@click.option("--config", required=True, type=click.Path(path_type=Path, dir_okay=False), help="What to serve (YAML).")
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop after so long.")
def serve(config: Path, seconds: float | None) -> None:
    """Serve group keys to agents, over TLS with certificates, until told to stop. Writes its audit to standard error.

    Keys are made, rolled over and pushed by it; two such servers stand in for each other.
    """
    import asyncio
    import contextlib
    import signal

    from agent.keyserver.policy import PolicyError
    from agent.keyserver.policy import load as load_policy
    from agent.keyserver.server import KeyServer
    from agent.keyserver.store import StoreError
    from agent.keyserver.tls import IdentityError

    async def run() -> None:
        server = KeyServer(
            load_policy(config), lambda line: click.echo(f"{datetime.now(UTC).isoformat()} {line}", err=True)
        )
        task = asyncio.create_task(server.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            if seconds is None:
                await task
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(task, seconds)

    try:
        asyncio.run(run())
    except (PolicyError, IdentityError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{config}: {error.strerror or error}") from error


def _tell(file: Path, made: Iterable[Key], as_json: bool) -> None:
    listed = [_plain(key) for key in made]
    if as_json:
        click.echo(json.dumps({"file": str(file), "keys": listed}))
        return
    click.echo(f"{file}:")
    for entry in listed:
        times = "".join(f"  {name} {entry[name]}" for name in ("from", "until") if name in entry)
        click.echo(f"  key {entry['id']}  {entry['algorithm']}  group {entry['group']}{times}")


def _plain(key: Key) -> dict[str, str | int]:
    """What may be shown of a key."""
    entry: dict[str, str | int] = {"id": key.identifier, "group": key.group, "algorithm": key.algorithm.text}
    for name, moment in (("from", key.valid_from_us), ("until", key.valid_until_us)):
        if moment is not None:
            entry[name] = datetime.fromtimestamp(moment / 1e6, UTC).isoformat().replace("+00:00", "Z")
    return entry
