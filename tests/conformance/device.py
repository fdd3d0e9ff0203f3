"""The device under test: a whole agent (two processes) with its breaker's IED and merging unit, and the tester's means.

Nothing of the agent's MMS side is ours to look into here: clients of others and raw octets talk to its port.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lxml import etree
from open61850.mms.association import AssociationParameters, association_request, decode_association_response
from open61850.mms.client import MmsClient
from open61850.mms.errors import MmsConnectionError
from open61850.mms.transport import IsoConnection, connection_request, recv_tpkt, send_tpkt

from agent.keyserver.pki import enrol
from agent.logic.messages import Position
from agent.mms.roles import Role
from agent.mms.statements.offered import Offered, offered
from scl.read import parse_bytes
from tests.mms.lab import free_port
from tests.mms.secured import roles
from tests.station.bench import LOAD_A, VOLT, Bench, until

NAME = "F1"
IED = f"{NAME}_AG"
SHOWN_S = 0.3
"""The server shows what the agent knows at the latest after so long."""
CLIENTS_MAX = 8
"""The device is told this limit, so that a case can reach it."""


class Device:
    """One agent in service; use as a context manager. ``secured``: over TLS, its clients with the roles of engineer and
    operator."""

    def __init__(self, folder: Path, secured: bool = False) -> None:
        self.bench = Bench(folder)
        self._pki = folder / "pki" if secured else None
        self._context = None if self._pki is None else _enrolled(self._pki)
        self.port = free_port()
        self.scd = self.bench.scd
        root: etree._Element = parse_bytes(self.scd.read_bytes())
        self.offered: Offered = offered(root, IED)
        self.domain = self.offered.tree.domain(self.offered.tree.devices[0])
        self._stop = threading.Event()
        self._mechanism = threading.Thread(target=self._close_when_told, daemon=True)

    def __enter__(self) -> Device:
        self.bench.__enter__()
        self._begin()
        self._mechanism.start()
        return self

    def _begin(self) -> None:
        limits = ["--mms-clients", str(CLIENTS_MAX), "--mms-clients-of-address", str(CLIENTS_MAX)]
        where = f"127.0.0.1:{self.port}"
        self.bench.start(NAME, *(["--mms-plain", where] if self._pki is None else _files(self._pki, where)), *limits)
        until(lambda: self.bench.status(NAME).get("ready") is True)

    def restart(self) -> None:
        """After its processes have ended."""
        self.bench.processes[NAME].communicate(timeout=15)
        self._begin()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._mechanism.join(5)
        self.bench.__exit__(*_)

    # --- the primary side --------------------------------------------------------------------------------------------

    def _close_when_told(self) -> None:
        """The mechanism closes 60 ms after an order."""
        bay = self.bench.bays[NAME]
        seen = len(bay.closes)
        while not self._stop.wait(0.02):
            if len(bay.closes) > seen:
                seen = len(bay.closes)
                time.sleep(0.06)
                self.put(Position.CLOSED)

    def put(self, position: Position) -> None:
        """The switch is there now, as if by hand."""
        bay = self.bench.bays[NAME]
        bay.position = position
        bay.show(LOAD_A[NAME] if position is Position.CLOSED else 0.0, VOLT)
        bay.tell()

    def at_rest(self) -> None:
        """Closed, nobody connected: how every case finds it."""
        if self.bench.bays[NAME].position is not Position.CLOSED:
            self.put(Position.CLOSED)
        until(lambda: self.bench.status(NAME).get("position") == "closed" and self.bench.status(NAME).get("mms") == 0)
        time.sleep(SHOWN_S)

    # --- the tester's side -------------------------------------------------------------------------------------------

    @contextmanager
    def client(self) -> Iterator[MmsClient]:
        """A client of others (open61850), associated."""
        if self._context is None:
            with MmsClient.connect("127.0.0.1", self.port, timeout=20.0) as client:
                yield client
            return
        with self.raw() as raw:
            send_tpkt(raw, connection_request())
            if recv_tpkt(raw) is None:
                raise MmsConnectionError("no transport connection")
            connection = IsoConnection(raw)
            connection.send(association_request(AssociationParameters()))
            accepted = decode_association_response(connection.recv() or b"")
            raw.settimeout(None)
            with MmsClient(connection, association=accepted) as client:
                client._start()
                yield client

    @contextmanager
    def raw(self) -> Iterator[socket.socket]:
        """Octets, for what no client sends; within TLS where that is spoken."""
        with self.bare() as bare:
            if self._context is None:
                yield bare
            else:
                with self._context.wrap_socket(bare) as raw:
                    yield raw

    @contextmanager
    def bare(self) -> Iterator[socket.socket]:
        """Octets beneath TLS."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20.0) as bare:
            yield bare

    def events(self, name: str) -> list[dict[str, Any]]:
        """Details of the events of a name so far."""
        return [event["details"] for event in self.bench.events(NAME) if event["name"] == name]

    def answers(self) -> bool:
        """Whether a new client reads a value."""
        with suppress(OSError, ValueError), self.client() as client:
            return len(client.get_name_list(9)) > 0
        return False

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for something."""
        until(condition, seconds)


def _enrolled(folder: Path) -> ssl.SSLContext:
    """Certificates of the agent and of a client; how the client speaks TLS."""
    enrol(folder, [], [IED], {"tester": roles(Role.OPERATOR, Role.ENGINEER)})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / "tester.pem", folder / "tester.key")
    return context


def _files(folder: Path, where: str) -> list[str]:
    files = [("certificate", f"{IED}.pem"), ("private-key", f"{IED}.key"), ("ca", "ca.pem")]
    return ["--mms", where, *(part for name, file in files for part in (f"--mms-{name}", str(folder / file)))]
