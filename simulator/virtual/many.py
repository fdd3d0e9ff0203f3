"""Many seeds on several cores: each worker runs its share, the answers come back as they are ready."""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from simulator.virtual.chance import random_scenario
from simulator.virtual.world import World

CHUNK = 25


class Answer(NamedTuple):
    """What one seed came to."""

    seed: int
    invariant: int
    """0: held; -1: the run itself failed (a brain raised)."""
    why: str
    met: Counter[str]
    lost_kw: float
    restorable_kw: float
    restored_kw: float


def one(seed: int, switches: int, chaos: str) -> Answer:
    """Run one seed."""
    try:
        outcome = World(random_scenario(seed, switches, chaos)).run()
    except Exception:
        return Answer(seed, -1, traceback.format_exc(limit=-3), Counter(), 0.0, 0.0, 0.0)
    broken = outcome.broken
    return Answer(
        seed,
        broken.invariant if broken else 0,
        broken.why if broken else "",
        outcome.met,
        outcome.lost_kw,
        outcome.restorable_kw,
        outcome.restored_kw,
    )


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A run is one great cycle that lives to its end: to look for garbage after every 700 objects finds none."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _chunk(job: tuple[range, int, str]) -> list[Answer]:
    seeds, switches, chaos = job
    with seldom_collected():
        return [one(seed, switches, chaos) for seed in seeds]


def run(first: int, count: int, switches: int, chaos: str, jobs: int) -> Iterator[Answer]:
    """All seeds from ``first``, in order of seed."""
    chunks = [(range(at, min(at + CHUNK, first + count)), switches, chaos) for at in range(first, first + count, CHUNK)]
    if jobs <= 1 or len(chunks) == 1:
        for job in chunks:
            yield from _chunk(job)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(chunks))) as pool:
        for answers in pool.imap(_chunk, chunks):
            yield from answers
