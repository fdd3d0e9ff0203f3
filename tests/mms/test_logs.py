"""Logs: what the model's changes leave behind is looked up by a client of others, also after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.logic.messages import Position
from agent.mms.journal import TRIM_EVERY, Datum, Journal
from agent.mms.services import Services
from agent.mms.tree import Tree
from tests.mms.lab import START_US, STATE, Lab
from tests.mms.secured import SecuredLab, make_pki

pytestmark = pytest.mark.peer

LOG = "FLISR/LLN0$status"
DATA_SET = "F_AGFLISR/LLN0$dsMeas"
OPENED = STATE._replace(breaker=STATE.breaker._replace(position=Position.OPEN, operations=8))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "logs.sqlite")
    yield made
    made.close()


def ask(lab: Lab, *steps: str) -> list[Any]:
    lab.start("peer_logs.py", "F_AGFLISR", "F_AGFLISR/LLN0$status", *steps)
    return [lab.said()[step] for step in steps]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def changes(told: dict[str, Any]) -> list[str]:
    return [name.partition("/")[2] for _, _, data in told["entries"] for name, _, _ in data]


def test_a_change_is_looked_up_by_time_and_after_an_entry(tree: Tree, journal: Journal) -> None:
    before = now_ms()
    lab = Lab(tree, services=Services(journal=journal))
    try:
        start = journal.span(LOG).newest
        lab.show(OPENED, START_US + 1_000_000)
        everything, news, later, status = ask(
            lab, f"between:{before - 1}:{before + 3_600_000}", f"after:{start.to_bytes(8, 'little').hex()}",
            f"between:{before + 3_600_000}:{before + 7_200_000}", "status",
        )  # fmt: skip
    finally:
        lab.close()
    assert later == {"more": False, "entries": []}
    assert {"XCBR1$ST$Pos", "XCBR1$ST$OpCnt", "CSWI1$ST$Pos", "CILO1$ST$EnaCls"} <= set(changes(news))
    assert changes(everything)[start:] == changes(news)
    (position,) = [data for _, _, data in news["entries"] if data[0][0].endswith("XCBR1$ST$Pos")]
    assert "b'@'" in position[0][1]  # open
    assert all(before <= t_ms <= now_ms() for _, t_ms, _ in everything["entries"])
    assert (status["LogEna"], status["LogRef"]) == ("True", "'F_AGFLISR/LLN0$status'")
    assert status["NewEntr"] == repr(journal.span(LOG).newest.to_bytes(8, "little"))


def test_a_log_outlives_a_restart_and_goes_on(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "logs.sqlite"
    numbers = []
    for _ in range(2):
        journal = Journal(path)
        lab = Lab(tree, services=Services(journal=journal))
        lab.show(OPENED, START_US + 1)
        (told,) = ask(lab, f"after:{bytes(8).hex()}")
        numbers.append([entry for entry, _, _ in told["entries"]])
        lab.close()
        journal.close()
    assert numbers[1][: len(numbers[0])] == numbers[0]
    assert len(numbers[1]) > len(numbers[0])


def test_a_long_log_comes_in_parts_that_each_fit_a_message(tree: Tree, journal: Journal) -> None:
    for number in range(3_000):
        entry = journal.add(LOG, 1_700_000_000_000 + number)
        journal.put(entry, Datum(f"F_AGFLISR/XCBR1$ST$Pos{number % 7}", b"\x83\x01\x01", 64))
    journal.add(LOG, 1_700_000_009_000)  # one without data is left out
    lab = Lab(tree, services=Services(journal=journal))
    try:
        last, seen = bytes(8).hex(), 0
        for _ in range(20):
            (told,) = ask(lab, f"after:{last}")
            seen += sum(1 for _, t_ms, _ in told["entries"] if t_ms < 1_700_000_004_000)
            if not told["more"]:
                break
            last = told["entries"][-1][0]
        assert seen == 3_000
        assert not told["more"]
    finally:
        lab.close()


def test_only_log_ena_is_written(tree: Tree, journal: Journal) -> None:
    lab = Lab(tree, services=Services(journal=journal))
    try:
        assert ask(lab, "enable:false", "status")[1]["LogEna"] == "False"
        stood = journal.span(LOG).newest
        lab.show(OPENED, START_US + 1)
        assert journal.span(LOG).newest == stood
        denied, allowed = ask(lab, f"data-set:{DATA_SET}", "enable:true")
        assert "denied" in denied.lower()
        assert allowed is None
    finally:
        lab.close()


def test_roles_decide_who_stops_a_log(tree: Tree, journal: Journal, tmp_path: Path) -> None:
    with SecuredLab(tree, make_pki(tmp_path / "pki"), services=Services(journal=journal)) as lab:
        assert lab.ask("operator", "stop-log")["stop-log"] is not None
        assert lab.ask("engineer", "stop-log")["stop-log"] is None
        (denied,) = lab.events.of("mms_denied")
        assert (denied["who"], denied["needs"]) == ("operator", "config")


def test_a_full_disk_is_told_once_and_stops_nothing(
    tree: Tree, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tree, services=Services(journal=journal))
    try:

        def full(log: str, t_ms: int) -> int:
            raise OSError("database or disk is full")

        monkeypatch.setattr(journal, "add", full)
        lab.show(OPENED, START_US + 1)
        assert lab.server.failures == [f"log {LOG}: OSError: database or disk is full"]
        lab.server.failures.clear()
        monkeypatch.undo()
        lab.show(STATE, START_US + 2)
        assert ask(lab, f"after:{bytes(8).hex()}")[0]["entries"]
    finally:
        lab.close()


def test_what_is_no_journal_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "logs.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    journal = Journal(path)
    assert "logs.sqlite" in journal.lost
    assert journal.add(LOG, 1) == 1
    assert (tmp_path / "logs.sqlite.damaged").exists()
    journal.close()


def test_a_journal_keeps_the_newest_entries_of_each_log_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "logs.sqlite", limit=100)
    for number in range(3 * TRIM_EVERY):
        journal.put(journal.add("a" if number % 2 else "b", number), Datum("x", b"\x83\x01\x00", 1))
    assert 100 <= journal.span("a").newest - journal.span("a").oldest <= 100 + TRIM_EVERY
    assert all(entry.number % 2 == 0 for entry in journal.after("a", 0))
    assert list(journal.after("a", (1 << 64) - 1)) == []
    assert journal.span("c") == (0, 0, 0, 0)
    journal.close()
