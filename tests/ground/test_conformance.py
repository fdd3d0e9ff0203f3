"""The statements are what the code says, and the conformance table has every case, each with a verdict of a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import commands
from agent.mms.statements import mics, pics, pixit
from agent.mms.statements.offered import Offered, offered
from agent.mms.statements.page import markdown
from scl import describe, generate
from scl.read import parse
from tests.conformance import document
from tests.conformance.cases import load
from tests.station.bench import DRAWING

IED = "F1_AG"


@pytest.fixture(scope="module")
def scd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that the device under test has, but for its port."""
    folder = tmp_path_factory.mktemp("statements")
    (folder / "feeder.yaml").write_text(DRAWING)
    file = folder / "feeder.scd"
    generate.generate(describe.load(folder / "feeder.yaml"), routed=True, port=102).write(file)
    return file


@pytest.fixture(scope="module")
def of(scd: Path) -> Offered:
    return offered(parse(scd), IED)


def test_statements_are_as_the_code_says(of: Offered) -> None:
    for name, text in document.statements(of).items():
        assert (document.FOLDER / name).read_text() == text, f"docs/reference/{name}: make conformance"


def test_every_case_has_its_row_and_its_verdict(of: Offered) -> None:
    text = (document.FOLDER / "conformance.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    cases = load()
    assert len(rows) == len(cases)
    for line, case in zip(rows, cases, strict=True):
        cells = [cell.strip() for cell in line[2:-2].split(" | ")]
        assert tuple(cells[:4]) == document.row(case), "make conformance"
        assert cells[5] == f"`{case.by}`"
        missing = case.missing(of)
        assert cells[4] == (f"{document.NOT_APPLICABLE} ({missing})" if missing else document.PASSED)


def test_cases_name_procedures_that_exist_and_lines_of_the_pics(of: Offered) -> None:
    lines = {line.code for line in pics.lines(of)}
    assert len(lines) == len(pics.lines(of)), "a code twice"
    cases = load()
    identifiers = [case.identifier for case in cases if case.identifier]
    assert len(identifiers) == len(set(identifiers))
    for case in cases:
        assert callable(case.procedure)
        assert case.needs
        assert set(case.needs) <= lines
        assert set(case.issues) <= set(document.SUBJECTS)


def test_every_procedure_has_a_case() -> None:
    folder = Path(document.__file__).parent / "procedures"
    used = {case.by for case in load()}
    for file in folder.glob("[a-z]*.py"):
        functions = re.findall(r"^def ([a-z]\w*)\(device: Device\) -> None:", file.read_text(), re.MULTILINE)
        for function in functions:
            assert f"{file.stem}.{function}" in used, "no case is played by it"


@pytest.mark.parametrize(("name", "page"), [("pics", pics.page), ("pixit", pixit.page), ("mics", mics.page)])
def test_the_command_tells_the_same(scd: Path, of: Offered, name: str, page: object) -> None:
    told = CliRunner().invoke(commands.agent, ["statement", name, "--scd", str(scd), "--ied", IED])
    assert told.exit_code == 0, told.output
    assert callable(page)
    assert told.output == markdown(page(of))


def test_the_command_refuses_what_it_cannot_read(scd: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(commands.agent, ["statement", "pics", "--scd", str(scd), "--ied", "NONE"])
    assert told.exit_code == 1
    assert "there is no IED NONE" in told.output
    broken = tmp_path / "broken.scd"
    broken.write_text("<SCL")
    told = CliRunner().invoke(commands.agent, ["statement", "pics", "--scd", str(broken), "--ied", IED])
    assert told.exit_code == 1
    assert "Traceback" not in told.output
