"""The documents of conformance: made by playing the cases, read back by tests.

python -m tests.conformance.document [--check]

Plays every case and writes docs/reference/{conformance,pics,pixit,mics,tics}.md.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

from agent.mms.statements import mics, pics, pixit
from agent.mms.statements.offered import Offered
from agent.mms.statements.page import Page, Table, markdown
from tests.conformance.cases import Case, load
from tests.conformance.device import Device

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PASSED, FAILED, NOT_APPLICABLE = "passed", "FAILED", "not applicable"
HEADINGS = ("identifier", "kind", "what is shown", "PICS", "verdict", "procedure")
GENERATED = "<!-- made by: make conformance -->\n"

HEAD = """\
Each row is a case that is played against a whole agent (both processes, its breaker and its merging unit) with clients
that we did not write, open61850 and iec61850, or with octets put together by hand where no client sends them. Verdicts
come from `make conformance`, and every run of the tests plays the rows again and compares. A row that does not apply
names the line of the [PICS](pics.md) from which that follows; it is played as soon as the SCL offers what it needs.

The cases follow the groups of IEC 61850-10 and of the UCAIug's *Test procedures for IEC 61850 edition 2 servers*, in
our own words, from what is public of them: the procedures themselves are the UCAIug's members' only. A row carries an
identifier where we are sure of the case's name and subject; the others are ours. A row may show less than the procedure
of its name does. This is a self-declaration, not a certificate: no accredited laboratory has seen this server."""

ISSUES = """Technical issues (tissues) of IEC 61850-7-2 and -8-1 whose resolution a case of the
[conformance table](conformance.md) shows. The numbers are those that makers of servers publish in their own statements.
What is not in the list has not been looked at."""
SUBJECTS = {
    44: "AddCause: object not selected",
    52: "sequence number of a GOOSE begins with 0",
    177: "option bits of buffered reports are ignored in unbuffered ones",
    183: "error of a name list of what does not exist",
    278: "an entry identifier that the server does not know",
    301: "sequence number of buffered reports",
    305: "reports with a buffer time of 0",
    322: "attributes of an enabled control block are not written",
    1202: "general interrogation is there",
}


def main(write: bool) -> int:
    """0 if nothing failed (and, without writing, nothing differs)."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, Device(Path(folder)) as device:
        found = {(case.by, case.group): _play(device, case) for case in load()}
        made = pages(device.offered, found)
    different = [name for name, text in made.items() if _present(name) != text]
    for name in different if write else ():
        (FOLDER / name).write_text(made[name], encoding="utf-8")
    failed = sum(verdict == FAILED for verdict in found.values())
    print(
        f"{len(found)} cases, {failed} failed, {sum(v.startswith(NOT_APPLICABLE) for v in found.values())} do not apply"
    )
    print(f"{'written' if write else 'different'}: {', '.join(different) or 'nothing'}")
    return int(bool(failed) or (not write and bool(different)))


def _play(device: Device, case: Case) -> str:
    missing = case.missing(device.offered)
    if missing:
        return f"{NOT_APPLICABLE} ({missing})"
    try:
        device.at_rest()
        case.procedure(device)
    except Exception:
        print(f"--- {case.by}", file=sys.stderr)
        traceback.print_exc()
        return FAILED
    return PASSED


def pages(of: Offered, found: dict[tuple[str, str], str]) -> dict[str, str]:
    """File names and their content."""
    return {
        "conformance.md": GENERATED + markdown(_cases(found)),
        "tics.md": GENERATED + markdown(_issues(found)),
    } | statements(of)


def statements(of: Offered) -> dict[str, str]:
    """Those that need no run."""
    made = {"pics.md": pics.page(of), "pixit.md": pixit.page(of), "mics.md": mics.page(of)}
    return {name: GENERATED + markdown(page) for name, page in made.items()}


def _cases(found: dict[tuple[str, str], str]) -> Page:
    groups: dict[str, list[tuple[str, ...]]] = {}
    for case in load():
        groups.setdefault(case.group, []).append((*row(case), found[case.by, case.group], f"`{case.by}`"))
    tables = [Table(group[0].upper() + group[1:], "", HEADINGS, tuple(rows)) for group, rows in groups.items()]
    return Page("Conformance of the MMS server", HEAD, tuple(tables))


def row(case: Case) -> tuple[str, ...]:
    """What a row says before its verdict."""
    return (case.identifier, "negative" if case.negative else "positive", case.what, ", ".join(case.needs))


def _issues(found: dict[tuple[str, str], str]) -> Page:
    rows = sorted((issue, case.what, found[case.by, case.group], case.by) for case in load() for issue in case.issues)
    cells = tuple((f"{issue}", SUBJECTS[issue], what, verdict, f"`{by}`") for issue, what, verdict, by in rows)
    headings = ("issue", "subject", "shown by", "verdict", "procedure")
    return Page("TICS: technical issues", ISSUES, (Table("Issues", "", headings, cells),))


def _present(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


@cache
def verdicts() -> dict[tuple[str, str], str]:
    """Of the document as it is, by procedure and group."""
    found: dict[tuple[str, str], str] = {}
    group = ""
    names = {case.group[0].upper() + case.group[1:]: case.group for case in load()}
    for line in _present("conformance.md").splitlines():
        if line.startswith("## "):
            group = names.get(line[3:], line[3:])
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == len(HEADINGS) and cells[-1].startswith("`"):
            found[cells[-1].strip("` "), group] = cells[-2]
    return found


if __name__ == "__main__":
    sys.exit(main("--check" not in sys.argv[1:]))
