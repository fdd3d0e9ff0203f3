"""What a bystander can tell of GOOSE streams from their frames alone: pure, for sniffers and tests.

A stream is a control block reference with an APPID. Unlike :mod:`agent.goose.subscriber` a bystander accepts everything
that decodes, and says what is remarkable about it:

============  ==========================================================================================================
first         the first frame of this stream
change        stNum one ahead: a new state, with the numbers of the members that differ
repetition    stNum the same, sqNum one ahead
missed        stNum or sqNum further ahead: so many states or repetitions were not seen
duplicate     stNum and sqNum as before (redundant paths, PRP)
backward      stNum or sqNum behind: out of order, or replayed
restart       stNum 1, sqNum 0 or 1, after something else
silent        nothing for longer than timeAllowedtoLive before this frame
confRev       the configuration revision, data set or number of entries is another one
============  ==========================================================================================================
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.goose.codec import Data, Pdu


class Observation(NamedTuple):
    """What one frame tells."""

    words: tuple[str, ...]
    """Of the table, at least one."""
    changed: tuple[int, ...] = ()
    """Members whose values differ from the stream's last frame."""
    missed: int = 0
    """States or repetitions not seen."""


@dataclass(slots=True)
class Track:
    """One stream so far."""

    pdu: Pdu
    t_us: int
    first_us: int
    appid: int
    routed: bool
    frames: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    gap_us: int = 0
    """The longest pause between two frames."""


class Monitor:
    """See the module."""

    def __init__(self) -> None:
        self.tracks: dict[tuple[str, int], Track] = {}

    def observe(self, pdu: Pdu, appid: int, t_us: int, routed: bool = False) -> Observation:
        """One decoded frame, heard at ``t_us``."""
        key = (pdu.gocb_ref, appid)
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = Track(pdu, t_us, t_us, appid, routed)
            seen = Observation(("first",), tuple(range(len(pdu.data))))
        else:
            seen = _compare(track, pdu, t_us)
            track.gap_us = max(track.gap_us, t_us - track.t_us)
            track.pdu, track.t_us = pdu, t_us
        track.frames += 1
        track.counters.update(seen.words)
        if seen.missed:
            track.counters["frames missed"] += seen.missed
        return seen


def _compare(track: Track, pdu: Pdu, t_us: int) -> Observation:
    old = track.pdu
    words = []
    if t_us - track.t_us > old.ttl_ms * 1000:
        words.append("silent")
    if (pdu.conf_rev, pdu.dat_set, len(pdu.data)) != (old.conf_rev, old.dat_set, len(old.data)):
        words.append("confRev")
    word, missed = _sequence(old, pdu)
    words.append(word)
    return Observation(tuple(words), _differing(old.data, pdu.data), missed)


def _sequence(old: Pdu, new: Pdu) -> tuple[str, int]:
    if new.st_num == old.st_num:
        if new.sq_num == old.sq_num:
            return "duplicate", 0
        ahead = new.sq_num - old.sq_num
        if new.sq_num == 1 and old.sq_num > 2:  # rolled over, or its publisher has started again with the same state
            return "restart", 0
        return ("backward", 0) if ahead < 0 else ("repetition", 0) if ahead == 1 else ("missed", ahead - 1)
    if new.st_num == 1 and new.sq_num <= 1:
        return "restart", 0
    ahead = new.st_num - old.st_num
    if ahead < 0:
        return "backward", 0
    missed = ahead - 1 + new.sq_num
    return ("change", 0) if missed == 0 else ("missed", missed)


def _differing(old: tuple[Data, ...], new: tuple[Data, ...]) -> tuple[int, ...]:
    if len(old) != len(new):
        return tuple(range(len(new)))
    return tuple(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
