"""IVs: no two alike, whatever happens to process and disk."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.goose.frame import Envelope
from agent.security import iv
from agent.security.frames import Algorithm, make_key
from agent.security.iv import IvError, Ivs, block, fixed_field, passing
from agent.station import durable
from agent.station import ivs as store
from agent.station.ivs import IvReserve


def test_twelve_octets_each_once_until_the_block_ends() -> None:
    ivs = Ivs(fixed_field("F1_AG"), range(255, 258))
    taken = [ivs.take() for _ in range(3)]
    assert taken == [fixed_field("F1_AG") + n.to_bytes(8, "big") for n in (255, 256, 257)]
    for _ in range(2):
        with pytest.raises(IvError) as caught:
            ivs.take()
        assert caught.value.cause == "iv-exhausted"


def test_nothing_is_signed_without_an_iv() -> None:
    key = make_key(1, Algorithm.AES_GMAC_64, bytes(16))
    envelope = Envelope(bytes(6), bytes(6), 1, key=key, ivs=Ivs(bytes(4), range(0, 1)))
    envelope.seal(b"\x61\x00")
    with pytest.raises(IvError):
        envelope.seal(b"\x61\x00")


def test_the_counter_does_not_wrap() -> None:
    assert block(iv.LIMIT - iv.BLOCK).stop == iv.LIMIT
    last = Ivs(bytes(4), range(iv.LIMIT - 1, iv.LIMIT))
    assert last.take() == bytes(4) + b"\xff" * 8
    for mark in (iv.LIMIT - iv.BLOCK + 1, iv.LIMIT, -1):
        with pytest.raises(IvError):
            block(mark)
    for wrong in (range(-1, 5), range(0, iv.LIMIT + 1)):
        with pytest.raises(ValueError, match="no block"):
            Ivs(bytes(4), wrong)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=2, unique=True))
def test_publishers_differ(names: list[str]) -> None:
    first, second = (Ivs(fixed_field(name), range(0, 1)).take() for name in names)
    assert first != second


def test_passing_processes_differ() -> None:
    taken = {passing().take() for _ in range(1000)}
    assert len(taken) == 1000


class Crashes(RuleBasedStateMachine):
    """A process that takes its block, signs, and dies at any point; a disk that fails, forgets and is damaged."""

    base = ""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(dir=self.base))
        self.blocks: list[range] = []
        self.used: set[bytes] = set()

    @rule(frames=st.integers(0, 5))
    def run(self, frames: int) -> None:
        made = IvReserve(self.path).take()
        assert IvReserve(self.path)._mark() == made.stop, "on disk before the first use"
        self.blocks.append(made)
        ivs = Ivs(fixed_field("F1_AG"), made)
        for _ in range(frames):
            taken = ivs.take()
            assert taken not in self.used
            self.used.add(taken)

    @rule(during=st.sampled_from(["open", "write", "fsync", "rename"]))
    def dies_while_reserving(self, during: str) -> None:
        """Before the rename the old mark stands, and nothing was signed yet."""
        patch = pytest.MonkeyPatch()
        try:

            def die(*_: object, **__: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(durable.os if during != "rename" else Path, during, die)
            with pytest.raises(KeyboardInterrupt):
                IvReserve(self.path).take()
        finally:
            patch.undo()

    @rule()
    def a_full_disk(self) -> None:
        patch = pytest.MonkeyPatch()
        try:

            def fail(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(store.durable, "replace", fail)
            self.blocks.append(IvReserve(self.path).take())
        finally:
            patch.undo()

    @rule(damage=st.sampled_from(["gone", "empty", "cut", "other", "number"]))
    def the_file_is_damaged(self, damage: str) -> None:
        file = self.path / store.NAME
        if not file.exists():
            return
        text = file.read_bytes()
        match damage:
            case "gone":
                file.unlink()
            case "empty":
                file.write_bytes(b"")
            case "cut":
                file.write_bytes(text[:-5])
            case "other":
                file.write_bytes(text.replace(b'"record": ', b'"record": 1'))
            case "number":
                file.write_bytes(durable.seal(store.VERSION, -5))

    @invariant()
    def no_blocks_overlap(self) -> None:
        ordered = sorted(self.blocks, key=lambda made: made.start)
        for before, after in pairwise(ordered):
            assert before.stop <= after.start


def test_crashes_never_repeat_an_iv(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Here(Crashes):
        base = str(tmp_path)

    run_state_machine_as_test(Here, settings=settings(max_examples=40, stateful_step_count=20, deadline=None))


def test_a_lost_or_damaged_mark_is_said(tmp_path: Path) -> None:
    first = IvReserve(tmp_path)
    first.take()
    assert first.problem == "", "the first start of all has no mark"
    (tmp_path / "ivs.json").write_bytes(b"{")
    damaged = IvReserve(tmp_path)
    damaged.take()
    assert "ivs.json" in damaged.problem
    (tmp_path / "ivs.json").unlink()
    (tmp_path / "marks.json").write_bytes(b"")
    lost = IvReserve(tmp_path)
    lost.take()
    assert lost.problem.endswith("lost")
    unwritable = IvReserve(tmp_path / "none")
    unwritable.take()
    assert "none" in unwritable.problem
