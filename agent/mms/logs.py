"""Logs of the MMS server: what the library logs goes to a :class:`agent.mms.journal.Journal`, which answers queries.

The library calls a table of C functions (LogStorage). It encodes straight into the answer, and trusts what it is given:
an entry without data, or one more call after it has said that the answer is full, would end in memory that is not its
own. So neither happens here. Nothing raises into the library.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, Final

from agent.mms.journal import Datum, Entry, Journal
from agent.mms.library import library
from agent.mms.tree import Tree

VALUE_MAX: Final = 8_000
"""Octets of a value that is logged; one that is longer might fit into no answer."""

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_bool)
_DATUM = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint8, ctypes.c_bool
)
_NUMBER = ctypes.POINTER(ctypes.c_uint64)
_ADD = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
_PUT = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint8
)
_QUERY = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, _ENTRY, _DATUM, ctypes.c_void_p
)
_SPAN = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, _NUMBER, _NUMBER, _NUMBER, _NUMBER)
_END = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Storage(ctypes.Structure):
    """struct sLogStorage."""

    _fields_ = (
        ("instance", ctypes.c_void_p), ("most", ctypes.c_int), ("add", _ADD), ("put", _PUT), ("between", _QUERY),
        ("after", _QUERY), ("span", _SPAN), ("end", _END),
    )  # fmt: skip


def references(tree: Tree) -> Iterator[str]:
    """``LD/LN$log`` of all logs."""
    for device, node in tree.nodes():
        yield from (f"{device.inst}/{node.name}${log}" for log in node.logs)


def keep(server: Any, tree: Tree, journal: Journal, failed: Callable[[str], None]) -> list[Any]:
    """Have all logs kept there. What is returned must live as long as the server."""
    kept: list[Any] = []
    install = library().IedServer_setLogStorage
    install.argtypes, install.restype = (ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(_Storage)), None
    for reference in references(tree):
        storage = _Log(journal, reference, failed).storage()
        install(int(server), reference.encode(), ctypes.byref(storage))
        kept.append(storage)
    return kept


def log_ena_only(_connection: int, _name: bytes, part: bytes | None, reads: bool) -> bool:
    """The rule of log control blocks: their configuration is the SCD's, and the library does not look at the type of
    what it is to be."""
    return reads or part == b"LogEna"


class _Log:
    def __init__(self, journal: Journal, reference: str, failed: Callable[[str], None]) -> None:
        self._journal = journal
        self._reference = reference
        self._failed = failed
        self._failing = False

    def storage(self) -> _Storage:
        return _Storage(
            None, -1, _ADD(self._add), _PUT(self._put), _QUERY(self._between), _QUERY(self._after), _SPAN(self._span),
            _END(lambda _storage: None),
        )  # fmt: skip

    def _try(self, work: Callable[[], bool]) -> bool:
        """A disk that is full is said once, until something can be written again."""
        try:
            done = work()
        except Exception as error:
            if not self._failing:
                self._failed(f"log {self._reference}: {type(error).__name__}: {error}")
            self._failing = True
            return False
        self._failing = False
        return done

    def _add(self, _storage: int, t_ms: int) -> int:
        made: list[int] = []

        def work() -> bool:
            made.append(self._journal.add(self._reference, t_ms))
            return True

        return made[0] if self._try(work) else 0

    def _put(self, _storage: int, entry: int, name: bytes, data: int, size: int, reason: int) -> bool:
        if not entry or not 0 < size <= VALUE_MAX:
            return False

        def work() -> bool:
            value = ctypes.string_at(data, size)
            self._journal.put(entry, Datum(name.decode("ascii", "replace"), value, reason))
            return True

        return self._try(work)

    def _between(self, _storage: int, first: int, last: int, entry: Any, datum: Any, parameter: int) -> bool:
        return self._try(lambda: _give(self._journal.between(self._reference, first, last), entry, datum, parameter))

    def _after(self, _storage: int, _t_ms: int, number: int, entry: Any, datum: Any, parameter: int) -> bool:
        return self._try(lambda: _give(self._journal.after(self._reference, number), entry, datum, parameter))

    def _span(self, _storage: int, newest: Any, newest_ms: Any, oldest: Any, oldest_ms: Any) -> bool:
        def work() -> bool:
            span = self._journal.span(self._reference)
            newest[0], newest_ms[0], oldest[0], oldest_ms[0] = span.newest, span.newest_ms, span.oldest, span.oldest_ms
            return True

        return self._try(work)


def _give(entries: Iterator[Entry], entry: Any, datum: Any, parameter: int) -> bool:
    """Until the answer is full."""
    for found in entries:
        if not entry(parameter, found.t_ms, found.number, True):
            return True
        for part in found.data:
            if not datum(parameter, part.reference.encode(), part.value, len(part.value), part.reason, True):
                return True
        if not datum(parameter, None, None, 0, 0, False):
            return True
    entry(parameter, 0, 0, False)
    return True
