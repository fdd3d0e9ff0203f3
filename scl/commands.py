"""``flisr scl``: check, show, generate, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scl.problem import Problem, SclError, Severity, has_errors
from scl.topology import Feeder


@click.group()
def scl() -> None:
    """Check, show, generate and export IEC 61850-6 (SCL) files."""


@scl.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def check(file: Path, as_json: bool) -> None:
    """List everything that is wrong with an SCL file.

    The schema of edition 2.1 (2007B4), then what no schema can see: data sets, addresses, inputs, zones. A drawing
    (.yaml) is checked as a drawing. Exits with 1 if there is an error.
    """
    from scl.check import check_file

    if file.suffix.lower() in {".yaml", ".yml"}:
        problems, edition = _drawing_problems(file), ""
    else:
        findings = check_file(file)
        problems, edition = findings.problems, findings.edition
    valid = not has_errors(problems)
    if as_json:
        listed = [
            {"line": p.line, "severity": p.severity.value, "code": p.code, "message": p.message} for p in problems
        ]
        click.echo(json.dumps({"valid": valid, "edition": edition, "file": str(file), "problems": listed}))
    else:
        _list(file, problems)
        counts = {severity: sum(p.severity is severity for p in problems) for severity in Severity}
        said = f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings"
        about = f" (edition {edition})" if edition else ""
        click.echo(f"{file}{about}: {'valid' if valid else 'not valid'}, {said}")
    sys.exit(0 if valid else 1)


@scl.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--ratings", type=click.Path(path_type=Path), help="Ratings file; default: X.ratings.yaml beside X.scd.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write the one-line diagram here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def show(file: Path, ratings: Path | None, svg: Path | None, as_json: bool) -> None:
    """Draw the one-line diagram of an SCD or of a drawing (.yaml)."""
    from rich.console import Console

    from scl import derive, describe
    from scl.draw import draw_svg, draw_text

    problems: list[Problem] = []
    try:
        if file.suffix.lower() in {".yaml", ".yml"}:
            feeder = describe.read(file)
        else:
            feeder, problems = derive.show(file, ratings)
    except SclError as error:
        _list(Path(error.file), error.problems, err=True)
        sys.exit(1)
    _list(file, problems, err=True)
    if not feeder.devices:
        click.echo(f"{file}: no connected switching device, nothing to draw", err=True)
        sys.exit(1)
    if svg is not None:
        try:
            svg.write_text(draw_svg(feeder), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{svg}: {error.strerror}") from error
    if as_json:
        click.echo(json.dumps(_as_json(feeder)))
    else:
        Console(soft_wrap=True, highlight=False).print(draw_text(feeder))
    sys.exit(1 if has_errors(problems) else 0)


@scl.command()
@click.argument("feeder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="SCD to write; default: X.scd.")
@click.option(
    "--sv",
    type=click.Choice(["9-2LE-80", "61869-9-4800-2"]),
    default="9-2LE-80",
    show_default=True,
    help="Layout of the merging units' streams.",
)
@click.option("--routed", is_flag=True, help="The control blocks ask for R-GOOSE and R-SV.")
@click.option("--udp-port", default=102, show_default=True, type=click.IntRange(1, 65535), help="For R-GOOSE and R-SV.")
def generate(feeder: Path, output: Path | None, sv: str, routed: bool, udp_port: int) -> None:
    """Write the SCD and the ratings file of a drawing (.yaml)."""
    from scl import describe
    from scl.generate import generate as make

    try:
        drawing = describe.load(feeder)
    except SclError as error:
        _list(Path(error.file), error.problems, err=True)
        sys.exit(1)
    path = output if output is not None else feeder.with_suffix(".scd")
    try:
        ratings = make(drawing, sv, routed, udp_port).write(path)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    click.echo(f"{path}\n{ratings}")


@scl.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--ied", required=True, help="Name of the IED.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: NAME.cid, or NAME.icd.")
@click.option("--icd", is_flag=True, help="The template (ICD): no addresses, no inputs, named TEMPLATE.")
def export(file: Path, ied: str, out: Path | None, icd: bool) -> None:
    """Write the CID of one IED of an SCD: the IED, its access points, the data types it needs."""
    from scl.export import ExportError
    from scl.export import export as make
    from scl.read import parse

    try:
        data = make(parse(file), ied, icd)
    except SclError as error:
        _list(Path(error.file), error.problems, err=True)
        sys.exit(1)
    except ExportError as error:
        raise click.ClickException(f"{file}: {error}") from error
    path = out if out is not None else Path(f"{ied}.{'icd' if icd else 'cid'}")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    click.echo(str(path))


def _drawing_problems(file: Path) -> tuple[Problem, ...]:
    from scl import describe

    try:
        describe.read(file)
    except SclError as error:
        return error.problems
    return ()


def _list(file: Path, problems: tuple[Problem, ...] | list[Problem], err: bool = False) -> None:
    for problem in problems:
        click.echo(f"{file}:{problem.line}: {problem.severity}: {problem.message} [{problem.code}]", err=err)


def _as_json(feeder: Feeder) -> dict[str, object]:

    names = [zone.name for zone in feeder.zones]
    return {
        "feeder": feeder.name,
        "nominal_kv": feeder.nominal_kv,
        "zones": [
            {
                "name": zone.name,
                "busbar": zone.busbar,
                "devices": [feeder.devices[i].name for i in zone.devices],
                "sources": [feeder.sources[i].name for i in zone.sources],
            }
            for zone in feeder.zones
        ],
        "devices": [
            {
                "name": device.name,
                "kind": device.kind.value,
                "a": names[device.zone_a],
                "b": names[device.zone_b],
                "normally_open": device.normally_open,
                "agent": device.agent,
            }
            for device in feeder.devices
        ],
    }
