from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logic.messages import LockRecord
from agent.station import latch
from agent.station.eventlog import EventLog
from agent.station.latch import LatchFile
from agent.station.numbers import NumberReserve

RECORD = LockRecord(True, False, True, 12, 1 << 40, 5, ((3, 9), (4, 1)))
numbers = st.integers(0, 1 << 62)
records = st.builds(
    LockRecord,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    numbers,
    numbers,
    numbers,
    st.lists(st.tuples(st.integers(0, 200), numbers), max_size=5).map(tuple),
)


@given(records)
def test_encode_and_decode_are_inverse(record: LockRecord) -> None:
    assert latch.decode(latch.encode(record)) == record


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed_or_harmless(position: int, flip: int) -> None:
    data = bytearray(latch.encode(RECORD))
    data[position % len(data)] ^= flip
    with contextlib.suppress(ValueError):
        assert latch.decode(bytes(data)) == RECORD  # white space only


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        latch.decode(data)


def test_written_and_read_again(tmp_path: Path) -> None:
    file = LatchFile(tmp_path)
    assert file.read() == latch.Restored(None)
    assert file.write(RECORD) == ""
    assert LatchFile(tmp_path).read() == latch.Restored(RECORD)
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"version": 1}', b"\xff\xfe"])
def test_an_unreadable_file_says_why(tmp_path: Path, content: bytes) -> None:
    (tmp_path / latch.NAME).write_bytes(content)
    restored = LatchFile(tmp_path).read()
    assert restored.record is None
    assert str(tmp_path) in restored.unreadable


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def test_full_disk_keeps_the_former_latch_and_says_so(full_disk: Path) -> None:
    file = LatchFile(full_disk)
    assert file.write(RECORD) == ""
    log = EventLog(full_disk, "Q1")
    log.append("before", 1, {})
    filler = full_disk / "filler"
    with filler.open("wb", buffering=0) as stuff:
        try:
            while True:
                stuff.write(bytes(4096))
        except OSError:
            pass
    problem = file.write(RECORD._replace(locked_b=True))
    assert "No space left" in problem
    assert LatchFile(full_disk).read().record == RECORD
    for k in range(200):
        log.append("during", k, {"text": "x" * 100})
    assert log.lost > 0
    assert "No space left" in log.problem
    filler.unlink()
    assert file.write(RECORD._replace(locked_b=True)) == ""
    log.append("after", 3, {})
    assert log.lost == 0
    assert '"lost_lines_before"' in log.path.read_text().splitlines()[-1]
    log.close()


def test_state_numbers_start_above_all_that_were_sent(tmp_path: Path) -> None:
    reserve = NumberReserve(tmp_path)
    assert reserve.next() == {}
    reserve.keep({"gcbFlisr": 7, "gcbOper": 1})
    before = reserve.path.stat().st_mtime_ns
    reserve.keep({"gcbFlisr": 8, "gcbOper": 2})
    assert reserve.path.stat().st_mtime_ns == before
    assert NumberReserve(tmp_path).next()["gcbFlisr"] > 8
    reserve.path.write_bytes(b"?")
    assert NumberReserve(tmp_path).next() == {}
