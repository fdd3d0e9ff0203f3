"""Marks of heard streams: when they go to disk, what is believed of a file, and what a lost one means."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.goose.known import Mark
from agent.station import durable, marks
from agent.station.marks import MarksFile, decode, encode, pause_s

T = 1_800_000_000_000_000
A, B = "R11_AGFLISR/LLN0$GO$gcbFlisr", "R11_BRCTRL/LLN0$GO$gcbPos"
HEARD = {A: Mark(7, T, 3), B: Mark(1, T - 5, None)}
numbers = st.integers(0, 2**32 - 1)
many = st.dictionaries(st.text(max_size=20), st.builds(Mark, numbers, st.integers(0, 1 << 60), st.none() | numbers))


@given(many)
def test_encode_and_decode_are_inverse(heard: dict[str, Mark]) -> None:
    assert decode(encode(heard)) == heard


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed_or_harmless(position: int, flip: int) -> None:
    data = bytearray(encode(HEARD))
    data[position % len(data)] ^= flip
    with contextlib.suppress(ValueError):
        assert decode(bytes(data)) == HEARD  # white space only


@pytest.mark.parametrize(
    "record",
    [None, [], {A: None}, {A: [1]}, {A: [1, 2, 3, 4]}, {A: [-1, 0, 0]}, {A: [0, 1 << 70, 0]}, {A: [0, 0.5, 0]}],
)
def test_a_record_that_is_no_marks_is_refused_even_with_a_checksum(record: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(durable.seal(marks.VERSION, record))


def test_a_new_state_is_written_soon_and_a_repetition_later() -> None:
    assert pause_s(None, {}) == marks.PAUSE_S
    assert pause_s(HEARD, dict(HEARD)) is None
    assert pause_s(HEARD, {**HEARD, A: Mark(8, T + 9, 0)}) == marks.PAUSE_S
    assert pause_s(HEARD, {**HEARD, A: Mark(7, T + 9, 0)}) == marks.PAUSE_S
    assert pause_s(HEARD, {A: HEARD[A]}) == marks.PAUSE_S
    assert pause_s(HEARD, {**HEARD, A: Mark(7, T, 4)}) == marks.REPETITIONS_S


def test_a_busy_feeder_costs_one_write_a_second_and_a_quiet_one_one_in_ten(tmp_path: Path) -> None:
    file = MarksFile(tmp_path)
    now, busy, quiet = 100.0, 0, 0
    for tick in range(240):  # a minute of ticks, each with a new state
        file.show({A: Mark(tick, T + tick, 0)})
        busy += file.keep(now + tick * 0.25) == ""
    for tick in range(240):
        file.show({A: Mark(1000, T + 1000, tick // 4)})
        quiet += file.keep(now + 60 + tick * 0.25) == ""
    assert (busy, quiet) == (60, 6)
    file.show({A: Mark(1000, T + 1000, 60)})
    assert file.keep(now + 119.9) is None
    # At the end everything is written, whenever that is; and once.
    assert file.keep(now + 119.9, last=True) == ""
    assert file.keep(now + 119.9, last=True) is None
    assert decode(file.path.read_bytes()) == {A: Mark(1000, T + 1000, 60)}
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_what_was_shown_is_newer_than_what_is_on_disk(tmp_path: Path) -> None:
    file = MarksFile(tmp_path)
    assert file.start(ran_before=False) == ({}, "")
    file.show(HEARD)
    assert file.keep(0.0) == ""
    later = {**HEARD, B: Mark(2, T, 0)}
    file.show(later)
    assert file.keep(0.5) is None
    # The protection process has crashed, this one has not.
    assert file.start(ran_before=True) == (later, "")
    # The machine has lost power.
    assert MarksFile(tmp_path).start(ran_before=True) == (HEARD, "")


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"version": 1}', b"\xff\xfe", encode(HEARD)[:-20]])
def test_an_unreadable_file_says_why_and_gives_no_marks(tmp_path: Path, content: bytes) -> None:
    (tmp_path / marks.NAME).write_bytes(content)
    heard, why = MarksFile(tmp_path).start(ran_before=False)
    assert heard == {}
    assert str(tmp_path) in why


def test_a_lost_file_is_told_from_a_new_device(tmp_path: Path) -> None:
    assert MarksFile(tmp_path).start(ran_before=False) == ({}, "")
    heard, why = MarksFile(tmp_path).start(ran_before=True)
    assert heard == {}
    assert why.endswith("lost")
    # Nothing was heard yet, and that is on disk too: it is not lost next time.
    file = MarksFile(tmp_path)
    file.show({})
    assert file.keep(0.0) == ""
    assert MarksFile(tmp_path).start(ran_before=True) == ({}, "")


def test_a_disk_that_refuses_is_tried_again_each_second(tmp_path: Path) -> None:
    file = MarksFile(tmp_path)
    blocked = tmp_path / f".{marks.NAME}.new"
    blocked.mkdir()
    file.show(HEARD)
    why = file.keep(0.0)
    assert why
    assert str(file.path) in why
    assert file.keep(0.9) is None
    blocked.rmdir()
    assert file.keep(1.0) == ""
    assert os.listdir(tmp_path) == [marks.NAME]
