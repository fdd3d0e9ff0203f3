"""``flisr mms``: look into any IEC 61850 server, follow its reports, operate it. For technicians."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from agent.console import wide_console
from agent.mms.client.options import complete_reference, remember, run, server_options, target

REDRAW_S = 0.1


@click.group()
def mms() -> None:
    """Browse and read an IEC 61850 server, follow its reports, operate it, fetch its files."""


@mms.command()
@server_options
@click.argument("reference", default="", shell_complete=complete_reference)
@click.option("--types", is_flag=True, help="Types of the attributes, too.")
def browse(reference: str, types: bool, as_json: bool, **options: Any) -> None:
    """Show the data model of SERVER as a tree; only what is under REFERENCE if it is given.

    What was found completes references of the other commands by <TAB>.
    """
    from agent.mms.client import directory, show
    from agent.mms.client.connection import Connection
    from agent.mms.client.errors import ReferenceNotFoundError

    server, limits, _ = target(options)

    async def work() -> Any:
        async with await Connection.open(server, limits) as connection:
            domains = await connection.domains()
            wanted = reference.partition("/")[0]
            if wanted and wanted not in domains:
                raise ReferenceNotFoundError(f"no logical device {wanted}; {server} has {', '.join(domains)}")
            found = await directory.discover(connection, [wanted] if wanted else domains)
            if types:
                await directory.add_types(connection, found.model.logical_nodes())
            return found

    model, passed_over = run(work())
    if passed_over:
        click.echo(f"{len(passed_over)} names that are none of IEC 61850 are passed over", err=True)
    known = show.names(model)
    if reference and not any(f"{name}.".startswith(reference) for name in known):
        raise click.ClickException(f"{server}: nothing under {reference}")
    if not reference:
        remember(options["server"], known)
    if as_json:
        click.echo(json.dumps({"server": str(server), **show.document(model)}))
    else:
        wide_console().print(show.tree(str(server), model, reference))


@mms.command()
@server_options
@click.argument("references", nargs=-1, required=True, shell_complete=complete_reference)
def read(references: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Read REFERENCES, each LD/LN.DO.DA[FC]: an attribute, data object or logical node. Without [FC]: all there are.

    Exits with 1 if one of them cannot be read.
    """
    from agent.mms.client import show

    server, limits, _ = target(options)
    rows = run(_read(server, limits, references))
    if as_json:
        click.echo(json.dumps({"server": str(server), "values": rows}))
    else:
        wide_console().print(show.values(rows))
    if any("error" in row for row in rows):
        sys.exit(1)


async def _read(server: Any, limits: Any, references: tuple[str, ...]) -> list[dict[str, Any]]:
    from agent.mms.client import directory, plain
    from agent.mms.client.connection import Connection
    from agent.mms.client.errors import ReferenceNotFoundError, RefusedError

    rows: list[dict[str, Any]] = []
    async with await Connection.open(server, limits) as connection:
        types = directory.Types(connection)
        for text in references:
            try:
                found = await directory.resolve(connection, text)
            except ReferenceNotFoundError as error:
                rows.append({"reference": text, "fc": "", "error": str(error)})
                continue
            for one in found:
                name = one.object_name if one.path else _constraint(one)
                row: dict[str, Any] = {"reference": one.name, "fc": one.fc or ""}
                try:
                    value = await connection.read(name)
                    row["value"] = plain.plain(value, await types.of(name), name.item.rpartition("$")[2])
                    row["clock"] = plain.clock(value)
                except RefusedError as error:
                    row["error"] = error.reason
                rows.append(row)
    return rows


def _constraint(node: Any) -> Any:
    """``LN$FC``: all of a logical node under one functional constraint."""
    from open61850.mms.pdu import ObjectName

    return ObjectName(f"{node.ln}${node.fc}", node.ld)


@mms.command()
@server_options
@click.argument("blocks", nargs=-1, shell_complete=complete_reference)
@click.option("--marks", type=click.Path(dir_okay=False, path_type=Path),
              help="Keep here how far buffered reports were taken: the next run goes on behind them.")  # fmt: skip
@click.option(
    "--integrity", default=0.0, type=click.FloatRange(min=0), metavar="SECONDS", help="All values so often, too."
)
@click.option("--seconds", type=click.FloatRange(min=0), help="End after so long.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many reports.")
def watch(
    blocks: tuple[str, ...], marks: Path | None, integrity: float, seconds: float | None, count: int | None,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Follow the reports of BLOCKS (LD/LN.name, with or without the number of an instance), until Ctrl-C.

    Without BLOCKS: all buffered ones. Reconnects by itself; buffered reports come once each, and what is lost is said.
    With --json one object a line. Exits with 1 if no report came, or one was lost.
    """
    from agent.mms.client.marks import Marks, MarksError
    from agent.mms.client.watching import Watch

    server, limits, described = target(options)
    try:
        kept = Marks(marks)
    except MarksError as error:
        raise click.ClickException(str(error)) from None
    watching = Watch(server, limits, described, kept, int(integrity * 1000))
    with contextlib.suppress(KeyboardInterrupt):
        run(_watch(watching, blocks, seconds, count, as_json))
    if not as_json:
        wide_console().print(watching.board.table())
    if not watching.board.reports or watching.board.losses:
        sys.exit(1)


async def _watch(
    watching: Any, blocks: tuple[str, ...], seconds: float | None, count: int | None, as_json: bool
) -> None:
    from rich.live import Live

    def enough() -> bool:
        return count is not None and watching.board.reports >= count

    def line(told: dict[str, Any]) -> bool:
        click.echo(json.dumps(told))
        return enough()

    async def live() -> None:
        with Live(watching.board.table(), console=wide_console(), auto_refresh=False, transient=True) as view:

            async def draw() -> None:
                # At its own pace: drawing at every report would hold up a storm of them.
                while True:
                    await asyncio.sleep(REDRAW_S)
                    view.update(watching.board.table(), refresh=True)

            drawing = asyncio.create_task(draw())
            try:
                await watching.follow(blocks, lambda _told: enough())
            finally:
                drawing.cancel()

    try:
        async with asyncio.timeout(seconds):
            await (watching.follow(blocks, line) if as_json else live())
    except TimeoutError:
        return
    finally:
        await watching.close()


@mms.command()
@server_options
@click.argument("reference", shell_complete=complete_reference)
@click.argument("value")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--test", is_flag=True, help="With the test flag: a server in test mode only acts on it.")
@click.option("--origin", default="flisr", show_default=True, help="orIdent: who gives the command.")
@click.option("--no-interlock-check", is_flag=True, help="Do not ask the server to check interlocking.")
@click.option("--no-synchro-check", is_flag=True, help="Do not ask the server to check synchronism.")
@click.option("--termination", default=30.0, show_default=True, type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Wait so long for the end of the command.")  # fmt: skip
def operate(
    reference: str, value: str, yes: bool, test: bool, origin: str, no_interlock_check: bool, no_synchro_check: bool,
    termination: float, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Operate REFERENCE (LD/LN.DO) to VALUE (on, off, a number), in the way that its ctlModel wants.

    Asks before it does. A refusal is told with its AddCause. A command is never sent twice: if its end was not heard,
    that is said, and the device has to be looked at. Exits with 0 only if the server carried the command out.
    """
    from agent.mms.client.control import Order
    from agent.mms.client.errors import ControlRefusedError, MmsError, OutcomeUnknownError

    if as_json and not yes:
        raise click.UsageError("--json needs --yes: nobody is asked")
    server, limits, _ = target(options)
    order = Order(
        origin, test=test, interlock_check=not no_interlock_check, synchro_check=not no_synchro_check,
        termination_s=termination,
    )  # fmt: skip

    async def work() -> dict[str, Any]:
        try:
            return await _operate(server, limits, reference, value, order, yes)
        except MmsError as error:
            if not as_json:
                raise
            told: dict[str, Any] = {"reference": reference, "done": False, "why": str(error)}
            if isinstance(error, ControlRefusedError):
                told |= {"stage": error.stage, "add_cause": error.add_cause, "add_cause_code": error.add_cause_code}
            if isinstance(error, OutcomeUnknownError):
                told["done"] = None
            return told

    told = run(work())
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(told["words"])
    if not told["done"]:
        sys.exit(1)


async def _operate(server: Any, limits: Any, reference: str, value: str, order: Any, yes: bool) -> dict[str, Any]:
    from agent.mms.client import control, directory, plain
    from agent.mms.client.connection import Connection
    from agent.mms.client.errors import RefusedError

    parsed = directory.parse(reference)
    async with await Connection.open(server, limits) as connection:
        aim = await control.describe(connection, parsed.ld, parsed.ln, parsed.path)
        wanted = plain.from_text(value, aim.value_type, f"{aim.reference}.ctlVal")
        now = "?"
        with contextlib.suppress(RefusedError):
            told = await connection.read(parsed.with_fc("ST").child("stVal").object_name)
            now = plain.text(plain.plain(told, None, "stVal"))
        if not yes:
            question = f"{server}: operate {aim.reference} (now {now}) to {value}, {aim.model.words}?"
            # Elsewhere than in the event loop: the connection lives on while a person thinks.
            await asyncio.to_thread(click.confirm, question, abort=True, err=True)
        done = await control.operate(connection, aim, wanted, order)
        end = "carried out" if done.terminated else "accepted"
        return {
            "reference": done.reference, "done": True, "model": done.model.words, "terminated": done.terminated,
            "number": done.number, "ms": done.seconds * 1000, "before": now,
            "words": f"{done.reference} to {value}: {end} ({done.model.words}, {done.seconds * 1000:.0f} ms)",
        }  # fmt: skip


@mms.command()
@server_options
@click.argument("folder", default="")
def files(folder: str, as_json: bool, **options: Any) -> None:
    """List the files of SERVER in FOLDER."""
    from rich.table import Table
    from rich.text import Text

    from agent.mms.client import plain
    from agent.mms.client.connection import Connection

    server, limits, _ = target(options)

    async def work() -> Any:
        async with await Connection.open(server, limits) as connection:
            return await connection.files(folder)

    found = run(work())
    if as_json:
        entries = [{"name": f.name, "size": f.size, "modified": f.modified and f.modified.isoformat()} for f in found]
        click.echo(json.dumps({"server": str(server), "files": entries}))
        return
    made = Table(box=None, header_style="bold")
    for title in ("file", "octets", "modified"):
        made.add_column(title, justify="right" if title == "octets" else "left")
    for file in found:
        made.add_row(
            Text(plain.printable(file.name)),
            str(file.size),
            "" if file.modified is None else f"{file.modified:%Y-%m-%d %H:%M:%S}Z",
        )
    wide_console().print(made)


@mms.command()
@server_options
@click.argument("path")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to; default: its name, here.")
def fetch(path: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Fetch the file PATH of SERVER, a fault record for example. Nothing is overwritten."""
    from agent.mms.client.connection import Connection

    server, limits, _ = target(options)
    place = out or Path(path.replace("\\", "/").rpartition("/")[2] or "file")
    if place.exists():
        raise click.ClickException(f"{place} exists; files are never overwritten")
    beside = place.with_name(f".{place.name}.part")

    async def work() -> int:
        async with await Connection.open(server, limits) as connection:
            with open(beside, "wb") as file:
                return await connection.fetch(path, file.write)

    try:
        size = run(work())
        beside.rename(place)
    finally:
        beside.unlink(missing_ok=True)
    told = {"server": str(server), "path": path, "file": str(place), "size": size}
    click.echo(json.dumps(told) if as_json else f"{place}: {size} octets")
