"""A server behind its door in this process, its certificates, and clients of others in other ones."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.keyserver.pki import enrol
from agent.logic.messages import CommandKind, CommandResult, Refusal
from agent.mms.audit import Audit
from agent.mms.callers import Callers
from agent.mms.limits import Limits
from agent.mms.model import IedState
from agent.mms.porter import Doorway, Porter
from agent.mms.roles import DEFINITION, Role, Token, encode
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES, Services
from agent.mms.tls import Identity
from agent.mms.tree import Tree
from tests.mms.lab import PATIENCE_S, START_US, STATE, free_port, in_memory

SERVER = "F_AG"
AREA = "laboratory"


def roles(*numbers: int, area: str = AREA) -> bytes:
    """The value of the extension."""
    return encode([Token(numbers, area, 0, DEFINITION)])


CLIENTS = {
    "viewer": roles(Role.VIEWER),
    "operator": roles(Role.OPERATOR),
    "engineer": roles(Role.ENGINEER),
    "stranger": roles(-102, 77),
}


def identity(folder: Path, name: str = SERVER) -> Identity:
    return Identity(folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem")


def make_pki(folder: Path) -> Path:
    """The server, a client of each kind, and one without any role."""
    enrol(folder, ["device"], [SERVER], CLIENTS)
    return folder


class Events:
    """An event log to look into."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, Any]]] = []

    def append(self, name: str, t_us: int, details: Mapping[str, object]) -> None:
        assert t_us > 0
        json.dumps(details)
        self.lines.append((name, dict(details)))

    def of(self, name: str) -> list[Mapping[str, Any]]:
        return [details for named, details in self.lines if named == name]


class SecuredLab:
    """Use as a context manager."""

    def __init__(
        self,
        tree: Tree,
        folder: Path | None,
        limits: Limits = Limits(),  # noqa: B008 (immutable)
        state: IedState = STATE,
        area: str = "",
        services: Services = NO_SERVICES,
    ) -> None:
        self.folder = folder
        self.events = Events()
        self.orders: list[tuple[CommandKind, str]] = []
        callers = Callers()
        self.server = MmsServer(tree, self._submit, self._answer, callers, in_memory(services))
        self.inner = free_port()
        self.server.listen("127.0.0.1", self.inner)
        self.server.update(state, START_US)
        audit = Audit(self.events, lambda: time.time_ns() // 1000)
        where = Doorway("127.0.0.1", 0, None if folder is None else identity(folder), limits, area)
        self.porter = Porter(where, self.inner, audit)
        callers.door = self.porter
        self.port = self.porter.address[1]
        self.device = f"F_AG:{tree.devices[0].inst}"
        self.longest_s = 0.0
        """The longest turn: nothing may wait."""

    def _submit(self, kind: CommandKind, origin: str) -> int:
        self.orders.append((kind, origin))
        return len(self.orders)

    def _answer(self, identifier: int) -> CommandResult:
        return CommandResult(identifier, True, Refusal.NONE)

    def turn(self) -> None:
        began = time.monotonic()
        if self.porter.turn():
            self.server.poll()
        self.server.poll()
        self.porter.tick()
        self.longest_s = max(self.longest_s, time.monotonic() - began)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.turn()
            time.sleep(0.002)

    def ask(self, name: str, *steps: str) -> dict[str, Any]:
        """What a client of others is told."""
        client = self.start(name, *steps)
        self.until(lambda: client.poll() is not None)
        out, _ = client.communicate()
        lines = out.decode().splitlines()
        told: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return told

    def start(self, name: str, *steps: str) -> subprocess.Popen[bytes]:
        program = str(Path(__file__).with_name("peer_secured.py"))
        arguments = [str(self.port), str(self.folder), name, self.device, *steps]
        client = subprocess.Popen(
            [sys.executable, program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert client.stdout is not None
        os.set_blocking(client.stdout.fileno(), False)
        return client

    def meanwhile(self, work: Callable[[], Any]) -> Any:
        """The result of blocking work, or its exception, while the server is served."""
        result: list[Any] = []

        def run() -> None:
            try:
                result.append(work())
            except (OSError, ssl.SSLError) as error:
                result.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.until(lambda: not thread.is_alive())
        return result[0]

    def __enter__(self) -> SecuredLab:
        return self

    def __exit__(self, *_: object) -> None:
        self.porter.close()
        self.server.close()
        assert self.server.failures == []
