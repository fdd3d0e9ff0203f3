"""A server in this process and a client of others in another one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.logic.messages import BreakerStatus, Level, Measurement, Position, Report
from agent.mms.journal import Journal
from agent.mms.model import IedState
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES, Services
from agent.mms.tree import Tree

START_US = 1_700_000_000_000_000
QUIET = Measurement(level=Level.QUIET)
STATE = IedState(
    Report(ready=True, level=Level.QUIET, p_kw=812.3),
    BreakerStatus(position=Position.CLOSED, operations=7),
    True, True, True, measurement=QUIET, t_us=START_US,
)  # fmt: skip
"""A closed breaker that carries load."""
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_memory(services: Services) -> Services:
    """With a log that nobody keeps, where there is none."""
    return services if services.journal is not None else services._replace(journal=Journal(None))


class Lab:
    """Serves ``state`` while a client talks."""

    def __init__(self, tree: Tree, state: IedState = STATE, services: Services = NO_SERVICES) -> None:
        self.state = state
        self.now_us = START_US
        self.server = MmsServer(tree, lambda _kind, _origin: 1, lambda _identifier: None, services=in_memory(services))
        self.port = free_port()
        self.server.listen("127.0.0.1", self.port)
        self.server.update(state, self.now_us)
        self._client: subprocess.Popen[bytes] | None = None
        self._read = b""

    def start(self, program: str, *arguments: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name(program)), str(self.port), *arguments]
        self._client = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._client.stdout is not None
        os.set_blocking(self._client.stdout.fileno(), False)

    def show(self, state: IedState, now_us: int) -> None:
        self.state, self.now_us = state, now_us
        self.server.update(state, now_us)

    def said(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next line of the client that is wanted; served meanwhile."""
        assert self._client is not None
        assert self._client.stdout is not None
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.server.poll()
            self._read += self._client.stdout.read() or b""
            line, found, rest = self._read.partition(b"\n")
            if found:
                self._read = rest
                answer: dict[str, Any] = json.loads(line)
                if wanted(answer):
                    return answer
                continue
            assert self._client.poll() is None, "the client has ended"
            time.sleep(0.005)
        raise AssertionError("the client says nothing")

    def close(self) -> None:
        if self._client is not None:
            self._client.kill()
            self._client.wait()
        self.server.close()
        assert self.server.failures == []
