"""A log's entries on disk: the newest of them, in an SQLite file. No library of MMS.

The file survives a loss of power as a whole (write-ahead log), the last moments before it may be missing: the log is
read by people, and waiting for the disk at each entry would hold up the latch, which the same process writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")
ENTRIES_MAX: Final = 20_000
TRIM_EVERY: Final = 256
LARGEST: Final = (1 << 63) - 1
"""SQLite's numbers have a sign."""
_TABLES: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists entries (log text, entry integer primary key autoincrement, t_ms integer);
create table if not exists data (entry integer, reference text, value blob, reason integer);
create index if not exists by_log on entries (log, t_ms);
create index if not exists by_entry on data (entry);
"""


class Datum(NamedTuple):
    """One value of an entry."""

    reference: str
    value: bytes
    """As MMS data."""
    reason: int


class Entry(NamedTuple):
    """What was logged at one time."""

    number: int
    t_ms: int
    data: tuple[Datum, ...]


class Span(NamedTuple):
    """The oldest and the newest entry; all 0: there are none."""

    oldest: int = 0
    oldest_ms: int = 0
    newest: int = 0
    newest_ms: int = 0


class Journal:
    """All logs of one server. OSError from every method: the file cannot be used."""

    def __init__(self, path: Path | None, limit: int = ENTRIES_MAX) -> None:
        """What is no journal is put aside as ``….damaged``; :attr:`lost` tells of it then. ``path`` None: in memory."""
        self.path = path
        self.lost = ""
        self._limit = limit
        self._added = 0
        try:
            self._file = self._open()
        except sqlite3.DatabaseError as error:
            if path is None:
                raise OSError(str(error)) from error
            self.lost = f"{path}: {error}"
            path.replace(path.with_name(f"{path.name}.damaged"))
            for rest in ("-wal", "-shm"):
                path.with_name(f"{path.name}{rest}").unlink(missing_ok=True)
            self._file = _safely(self._open)

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            self.path.touch(mode=0o640)
        file = sqlite3.connect(self.path or ":memory:", isolation_level=None)
        try:
            file.executescript(_TABLES)
            file.execute("select count(*) from entries, data limit 1")
        except sqlite3.Error:
            file.close()
            raise
        return file

    def add(self, log: str, t_ms: int) -> int:
        """A new entry, still empty; its number."""
        number = _safely(
            lambda: self._file.execute("insert into entries (log, t_ms) values (?, ?)", (log, t_ms)).lastrowid
        )
        self._added += 1
        if self._added % TRIM_EVERY == 1:
            _safely(lambda: self._trim(int(number or 0) - self._limit))
        return int(number or 0)

    def _trim(self, last: int) -> None:
        self._file.execute("delete from entries where entry <= ?", (last,))
        self._file.execute("delete from data where entry <= ?", (last,))

    def put(self, number: int, datum: Datum) -> None:
        """One more value of an entry."""
        _safely(lambda: self._file.execute("insert into data values (?, ?, ?, ?)", (number, *datum)))

    def between(self, log: str, first_ms: int, last_ms: int) -> Iterator[Entry]:
        """Entries of a time, both ends included, in order."""
        return self._entries("log = ? and t_ms between ? and ?", (log, min(first_ms, LARGEST), min(last_ms, LARGEST)))

    def after(self, log: str, number: int) -> Iterator[Entry]:
        """Entries that came after this one."""
        return self._entries("log = ? and entry > ?", (log, min(number, LARGEST)))

    def _entries(self, which: str, values: tuple[str | int, ...]) -> Iterator[Entry]:
        """One by one: a client takes as many as one message holds."""
        sql = f"select entry, t_ms from entries where {which} order by entry"
        rows = _safely(lambda: self._file.execute(sql, values))
        for number, t_ms in rows:
            found = self._file.execute("select reference, value, reason from data where entry = ?", (number,))
            data = tuple(Datum(*row) for row in found)
            if data:
                yield Entry(number, t_ms, data)

    def span(self, log: str) -> Span:
        """From when to when there are entries."""
        ends = "select entry, t_ms from entries where log = ? order by entry {} limit 1"
        oldest = _safely(lambda: self._file.execute(ends.format("asc"), (log,)).fetchone())
        newest = _safely(lambda: self._file.execute(ends.format("desc"), (log,)).fetchone())
        return Span() if oldest is None or newest is None else Span(*oldest, *newest)

    def close(self) -> None:
        """Nothing is added any more."""
        self._file.close()


def _safely(work: Callable[[], T]) -> T:
    try:
        return work()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
