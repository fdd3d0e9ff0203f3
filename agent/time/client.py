"""Asks linuxptp over its management socket: a few questions at a time, a short time to answer, nothing left behind.

ptp4l answers in 11 to 87 µs once it runs. It blocks while a client does not take what it sent (the kernel keeps ten
datagrams), so no more is asked at once than that many answers; a boundary clock answers once for every port.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from agent.time.datasets import (
    ClockDescription,
    CurrentDataSet,
    DataSet,
    DefaultDataSet,
    ParentDataSet,
    PortDataSet,
    PortProperties,
    PowerProfile,
    TimeProperties,
    TimeStatus,
)
from agent.time.management import Answer, Id, ManagementError, Refusal, decode, encode_get
from agent.time.ptp import Reading

SOCKETS = (Path("/var/run/ptp4l"), Path("/var/run/ptp4lro"))
"""linuxptp's; the second is there since 4.0, for everybody to read from."""
QUEUE = 10
LARGEST = 1500
MOST_PORTS = 64
D = TypeVar("D", bound=DataSet)


class NoAnswerError(Exception):
    """linuxptp did not answer; the text says why."""


def read(path: str, domain: int, timeout_s: float) -> Reading:
    """All that is asked of a clock; NoAnswerError if it does not answer in time. ``path`` "": the usual ones."""
    failures = []
    for server in [Path(path)] if path else SOCKETS:
        try:
            with _bound(server) as own:
                return _Asking(own, str(server), domain, time.monotonic() + timeout_s).reading()
        except OSError as error:
            failures.append(f"{server}: {error.strerror or error}")
        except NoAnswerError as error:
            failures.append(f"{server}: {error}")
    raise NoAnswerError("; ".join(failures))


@contextlib.contextmanager
def _bound(server: Path) -> Iterator[socket.socket]:
    """A socket with a name that the server can answer to, in a directory of ours; both are gone afterwards.

    Beside the server's own where we may: it may see another /tmp than we do.
    """
    beside = os.access(server.parent, os.W_OK | os.X_OK)
    with (
        tempfile.TemporaryDirectory(prefix="flisr-ptp-", dir=server.parent if beside else None) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own,
    ):
        own.bind(f"{directory}/s")
        yield own


class _Asking:
    """One round of questions, all answered before one deadline."""

    def __init__(self, own: socket.socket, server: str, domain: int, deadline: float) -> None:
        self._own = own
        self._server = server
        self._domain = domain
        self._deadline = deadline
        self._sequence = 0

    def reading(self) -> Reading:
        """The clock's data sets first: they say how many ports answer the other questions."""
        clock = self._ask(
            [
                Id.DEFAULT_DATA_SET,
                Id.CURRENT_DATA_SET,
                Id.PARENT_DATA_SET,
                Id.TIME_PROPERTIES_DATA_SET,
                Id.TIME_STATUS_NP,
            ],
            1,
        )
        default = _only(clock[Id.DEFAULT_DATA_SET], DefaultDataSet, Id.DEFAULT_DATA_SET)
        ports = min(max(default.ports, 1), MOST_PORTS)
        port = self._ask(
            [Id.PORT_DATA_SET, Id.PORT_PROPERTIES_NP, Id.CLOCK_DESCRIPTION, Id.POWER_PROFILE_SETTINGS_NP], ports
        )
        _only(port[Id.PORT_DATA_SET], PortDataSet, Id.PORT_DATA_SET)
        return Reading(
            default,
            _only(clock[Id.CURRENT_DATA_SET], CurrentDataSet, Id.CURRENT_DATA_SET),
            _only(clock[Id.PARENT_DATA_SET], ParentDataSet, Id.PARENT_DATA_SET),
            _only(clock[Id.TIME_PROPERTIES_DATA_SET], TimeProperties, Id.TIME_PROPERTIES_DATA_SET),
            _only(clock[Id.TIME_STATUS_NP], TimeStatus, Id.TIME_STATUS_NP),
            tuple(_of(port[Id.PORT_DATA_SET], PortDataSet)),
            tuple(_of(port[Id.PORT_PROPERTIES_NP], PortProperties)),
            next(iter(_of(port[Id.CLOCK_DESCRIPTION], ClockDescription)), None),
            next(iter(_of(port[Id.POWER_PROFILE_SETTINGS_NP], PowerProfile)), None),
        )

    def _ask(self, questions: list[Id], count: int) -> dict[Id, list[DataSet]]:
        """``count`` answers to each; fewer if some are refused (an older linuxptp does not know every question)."""
        at_once = max(1, QUEUE // count)
        found: dict[Id, list[DataSet]] = {}
        for first in range(0, len(questions), at_once):
            found |= self._ask_at_once(questions[first : first + at_once], count)
        return found

    def _ask_at_once(self, questions: list[Id], count: int) -> dict[Id, list[DataSet]]:
        found: dict[Id, list[DataSet]] = {asked: [] for asked in questions}
        awaited = dict.fromkeys(questions, count)
        for asked in questions:
            self._wait(asked)
            self._sequence += 1
            try:
                self._own.sendto(encode_get(asked, self._domain, self._sequence), self._server)
            except TimeoutError:
                raise NoAnswerError("takes no question") from None
        earliest = self._sequence - len(questions)
        while awaited:
            self._wait(next(iter(awaited)))
            answer = self._receive()
            if answer is None or answer.id not in awaited or answer.sequence <= earliest:
                continue
            if isinstance(answer.data, Refusal):
                # The clock as a whole refuses what it does not know, once.
                del awaited[answer.id]
                continue
            found[answer.id].append(answer.data)
            awaited[answer.id] -= 1
            if not awaited[answer.id]:
                del awaited[answer.id]
        return found

    def _receive(self) -> Answer | None:
        """The next datagram; None if it came too late or is no answer."""
        try:
            return decode(self._own.recv(LARGEST))
        except (TimeoutError, ManagementError):
            return None

    def _wait(self, asked: Id) -> None:
        """Let the next call on the socket take no longer than what is left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NoAnswerError(f"does not answer {asked.name} in domain {self._domain}")
        self._own.settimeout(left)


def _of(found: list[DataSet], kind: type[D]) -> list[D]:
    return [data for data in found if isinstance(data, kind)]


def _only(found: list[DataSet], kind: type[D], asked: Id) -> D:
    for data in _of(found, kind):
        return data
    raise NoAnswerError(f"refuses {asked.name}")
