"""libiec61850's own client, by ctypes: lists, fetches, and tries what it must not.

    python tests/mms/peer_files.py PORT [@FOLDER:NAME] STEP...

Over TLS with NAME's certificate where it is given.

Steps: list:FOLDER, get:NAME, delete:NAME, rename:NAME, put:NAME. One JSON object a step: the content (latin-1), the
names, or the library's number of the error.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import pyiec61850.pyiec61850 as iec

from agent.mms.library import library

RECEIVED = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_uint32)


class Client:
    def __init__(self, port: int, identity: str) -> None:
        self.connection = self.secured(*identity.split(":")) if identity else iec.IedConnection_create()
        error = iec.IedConnection_connect(self.connection, "127.0.0.1", port)
        if (error[-1] if isinstance(error, list | tuple) else error) != 0:
            sys.exit("no connection")
        self.used = library()

    def secured(self, folder: str, name: str) -> Any:
        self.tls = iec.TLSConfiguration_create()
        iec.TLSConfiguration_setChainValidation(self.tls, True)
        iec.TLSConfiguration_setOwnCertificateFromFile(self.tls, f"{folder}/{name}.pem")
        iec.TLSConfiguration_setOwnKeyFromFile(self.tls, f"{folder}/{name}.key", None)
        iec.TLSConfiguration_addCACertificateFromFile(self.tls, f"{folder}/ca.pem")
        return iec.IedConnection_createWithTlsSupport(self.tls)

    def call(self, name: str, result: Any, *arguments: Any) -> tuple[Any, int]:
        error = ctypes.c_int(0)
        function = getattr(self.used, f"IedConnection_{name}")
        function.restype = result
        function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, *map(self.kind, arguments))
        return function(int(self.connection), ctypes.byref(error), *arguments), error.value

    @staticmethod
    def kind(argument: Any) -> Any:
        if isinstance(argument, RECEIVED):
            return RECEIVED
        return ctypes.c_char_p if isinstance(argument, bytes) else ctypes.c_void_p

    def step(self, word: str, name: str) -> Any:
        if word == "list":
            found, error = self.call("getFileDirectory", ctypes.c_void_p, name.encode() or None)
            return error or sorted(self.names(found))
        if word == "get":
            parts: list[bytes] = []

            def received(_parameter: Any, data: Any, size: int) -> bool:
                parts.append(bytes(data[:size]))
                return True

            _, error = self.call("getFile", ctypes.c_uint32, name.encode(), RECEIVED(received), None)
            return error or b"".join(parts).decode("latin-1")
        if word == "delete":
            return self.call("deleteFile", None, name.encode())[1]
        if word == "put":
            return self.call("setFile", None, name.encode(), b"taken.cfg")[1]
        return self.rename(name)

    def rename(self, name: str) -> int:
        of = self.used.IedConnection_getMmsConnection
        of.argtypes, of.restype = (ctypes.c_void_p,), ctypes.c_void_p
        error = ctypes.c_int(0)
        function = self.used.MmsConnection_fileRename
        function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
        function.restype = None
        function(of(int(self.connection)), ctypes.byref(error), name.encode(), b"COMTRADE/other.cfg")
        return error.value

    def names(self, found: int | None) -> list[str]:
        names = []
        step, value = self.used.LinkedList_getNext, self.used.LinkedList_getData
        name_of = self.used.FileDirectoryEntry_getFileName
        step.argtypes = value.argtypes = name_of.argtypes = (ctypes.c_void_p,)
        step.restype = value.restype = ctypes.c_void_p
        name_of.restype = ctypes.c_char_p
        entry = step(found) if found else None
        while entry:
            names.append((name_of(value(entry)) or b"").decode())
            entry = step(entry)
        return names


def main(port: int, steps: list[str]) -> None:
    client = Client(port, steps.pop(0)[1:] if steps[0][0] == "@" else "")
    for step in steps:
        word, _, name = step.partition(":")
        print(json.dumps({step: client.step(word, name)}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
