"""Files of the agent that an MMS client may fetch: fault records (folder ``COMTRADE``) and the event log. Read only.

The library serves a directory and everything below it. It is given one of links to what may be seen, and nothing that
is not in the tables here is opened or listed; the state directory itself holds keys and the latch.

The library trusts that what it has listed can be looked at: a link that leads nowhere would make it write outside its
buffer. So links are put right, and all of it is looked at, before each listing.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from agent.mms.library import library

LIST, OPEN = 0, 1
"""MmsFileServiceType; the rest writes."""
DONE, DENIED, NOT_THERE = 0, 96, 97
"""MmsError: file-access-denied, file-non-existent."""
RECORDS: Final = "COMTRADE"
"""IEC 61850-8-1, 23.2: where fault records are."""
FOLDERS: Final = ("", "/", RECORDS, f"{RECORDS}/", f"/{RECORDS}", f"/{RECORDS}/")
RECORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}\.(cfg|dat)")

_ACCESS = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p
)  # fmt: skip


class Files:
    """What is served: ``records`` is a folder, ``logs`` are files, all of them may be missing."""

    def __init__(self, shown: Path, records: Path, logs: tuple[Path, ...]) -> None:
        """``shown``: a folder for the links alone, made here. OSError if that cannot be had."""
        self._shown = shown
        self._records = records
        self._logs = {path.name: path for path in logs}
        shown.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(shown, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def base(self) -> str:
        """For the library, which has room for some hundred octets only."""
        return f"/proc/self/fd/{self._descriptor}/"

    def judge(self, service: int, name: str) -> int:
        """Whether the library may do it, as an MmsError."""
        if service not in (LIST, OPEN):
            return DENIED
        if service == LIST and name in FOLDERS:
            self._put_right()
            there = self._records.is_dir() or RECORDS not in name
            return DONE if there and all(self._seen()) else NOT_THERE
        path = self._path(name.removeprefix("/"))
        return DONE if path is not None and path.is_file() else NOT_THERE

    def _path(self, where: str) -> Path | None:
        """Of a file that may be opened or looked at."""
        if where in self._logs:
            self._put_right()
            return self._logs[where]
        folder, slash, name = where.partition("/")
        if folder != RECORDS or not slash or RECORD.fullmatch(name) is None:
            return None
        path = self._records / name
        return None if path.is_symlink() else path

    def _put_right(self) -> None:
        """Each link there if and only if it leads somewhere; nothing else there."""
        wanted = {name: path for name, path in self._logs.items() if path.is_file()}
        if self._records.is_dir():
            wanted[RECORDS] = self._records
        for entry in self._shown.iterdir():
            target = wanted.pop(entry.name, None)
            if target is None or not entry.is_symlink() or entry.readlink() != target:
                entry.unlink()
                if target is not None:
                    entry.symlink_to(target)
        for name, target in wanted.items():
            (self._shown / name).symlink_to(target)

    def _seen(self) -> Iterator[bool]:
        for folder in (self._shown, self._records):
            if folder.is_dir():
                yield from (entry.exists() for entry in folder.iterdir())

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._descriptor)


def serve(iec: Any, server: Any, files: Files | None, failed: Callable[[str], None]) -> Any:
    """Install; None: no file at all (the library would serve its working directory). What is returned must be kept."""
    used = library()

    def access(_parameter: Any, _connection: Any, service: int, name: bytes | None, _other: bytes | None) -> int:
        try:
            return NOT_THERE if files is None else files.judge(service, (name or b"").decode("ascii"))
        except UnicodeDecodeError:
            return NOT_THERE
        except Exception as error:
            failed(f"files: {type(error).__name__}: {error}")
            return DENIED

    handler = _ACCESS(access)
    if files is not None:
        iec.IedServer_setFilestoreBasepath(server, files.base)
    of = used.IedServer_getMmsServer
    of.argtypes, of.restype = (ctypes.c_void_p,), ctypes.c_void_p
    install = used.MmsServer_installFileAccessHandler
    install.argtypes, install.restype = (ctypes.c_void_p, _ACCESS, ctypes.c_void_p), None
    install(of(int(server)), handler, None)
    return handler
