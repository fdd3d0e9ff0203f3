"""A control block's reports without a server: segments, jumps, duplicates, changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from open61850.data import IntData
from open61850.mms.pdu import ObjectName
from open61850.mms.report import OptFlds, ReasonCode, ReportEntry
from open61850.mms.report import Report as Decoded

from agent.mms.client.reports import Block, Follower, Loss, Report

MEMBERS = tuple(ObjectName(f"GGIO1$ST$Cnt{number}", "LD") for number in (1, 2, 3))
BLOCK = Block(ObjectName("LLN0$BR$b01", "LD"), "b01", ObjectName("LLN0$ds", "LD"), 1, MEMBERS)
START = datetime(2026, 1, 1, tzinfo=UTC)


def told(number: int, *members: int, overflow: bool = False, part: int | None = None, more: bool = False,
         conf_rev: int = 1, entry: int | None = None, of: int = 3) -> Decoded:  # fmt: skip
    inclusion = [index in members for index in range(of)]
    entries = [ReportEntry(index, IntData(number), None, ReasonCode(data_change=True)) for index in members]
    entry = number if entry is None else entry
    return Decoded(
        "b01", OptFlds(), number, START + timedelta(seconds=entry), None, overflow, entry.to_bytes(8), conf_rev,
        part, more, inclusion, entries,
    )  # fmt: skip


@pytest.fixture
def follower() -> Follower:
    made = Follower()
    made.enabled(BLOCK)
    return made


def test_reports_in_order_are_given_and_the_position_follows(follower: Follower) -> None:
    for number in (0, 1, 2):
        (report,) = follower.take(told(number, 0, 2))
        assert isinstance(report, Report)
        assert [entry.reference for entry in report.entries] == ["LD/GGIO1.Cnt1[ST]", "LD/GGIO1.Cnt3[ST]"]
        assert report.entries[0].reason == "data change"
        assert follower.position == number.to_bytes(8)


def test_segments_come_as_one_report(follower: Follower) -> None:
    assert follower.take(told(4, 0, part=0, more=True)) == []
    assert follower.position is None
    (report,) = follower.take(told(4, 1, 2, part=1))
    assert isinstance(report, Report)
    assert len(report.entries) == 3


def test_a_missing_segment_is_a_loss(follower: Follower) -> None:
    follower.take(told(4, 0, part=0, more=True))
    lost, report = follower.take(told(5, 1))
    assert isinstance(lost, Loss)
    assert "rest of a report" in lost.why
    assert isinstance(report, Report)
    lost, _ = follower.take(told(6, 1, part=1))
    assert isinstance(lost, Loss)
    assert "beginning of a report" in lost.why


def test_a_jump_is_a_loss_but_not_over_a_new_beginning_or_the_end_of_the_numbers(follower: Follower) -> None:
    follower.take(told(65_535, 0))
    assert len(follower.take(told(0, 0, entry=65_536))) == 1
    lost, _ = follower.take(told(3, 0, entry=65_539))
    assert lost == Loss("LD/LLN0.b01", "SqNum 3 after 0: 2 missing")
    follower.enabled(BLOCK)
    assert len(follower.take(told(9, 0, entry=65_540))) == 1


def test_what_comes_again_is_dropped_and_an_equal_number_of_another_buffer_is_not(follower: Follower) -> None:
    follower.take(told(0, 0, entry=7))
    follower.enabled(BLOCK)
    assert follower.take(told(0, 0, entry=7)) == []
    assert follower.duplicates == 1
    follower.enabled(BLOCK, known=False)
    assert len(follower.take(told(0, 0, entry=7))) == 1


def test_an_overflow_is_a_loss_except_before_the_first_report(follower: Follower) -> None:
    assert len(follower.take(told(0, 0, overflow=True))) == 1
    lost, _ = follower.take(told(1, 0, overflow=True))
    assert lost == Loss("LD/LLN0.b01", "the server's buffer overflowed")


@pytest.mark.parametrize("changed", [told(0, 0, conf_rev=2), told(0, 0, of=4)])
def test_a_data_set_that_is_another_is_not_guessed(follower: Follower, changed: Decoded) -> None:
    (lost,) = follower.take(changed)
    assert isinstance(lost, Loss)
    assert "changed" in lost.why
    assert follower.stale
    follower.enabled(BLOCK)
    assert not follower.stale
