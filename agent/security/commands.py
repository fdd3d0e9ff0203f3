"""``flisr keys``: key files of the laboratory."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agent.security.frames import Algorithm
from agent.security.keys import ALGORITHMS, KeyFileError, load, write_laboratory_keys


@click.group()
def keys() -> None:
    """Keys that authenticate GOOSE and Sampled Values frames (IEC 62351-6)."""


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
    help="HMAC and the bits of it that travel.",
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
    _tell(out, [(key.identifier, key.group, key.algorithm.text) for key in made], as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Read FILE as an agent would and list its keys, never the secrets."""
    try:
        ring = load(file)
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error
    _tell(file, [(key.identifier, key.group, key.algorithm.text) for key in ring], as_json)


def _tell(file: Path, rows: list[tuple[int, str, str]], as_json: bool) -> None:
    if as_json:
        listed = [{"id": identifier, "group": group, "algorithm": name} for identifier, group, name in rows]
        click.echo(json.dumps({"file": str(file), "keys": listed}))
        return
    click.echo(f"{file}:")
    for identifier, group, name in rows:
        click.echo(f"  key {identifier}  {name}  group {group}")
