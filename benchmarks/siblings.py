"""The load of station processes: an event log that fills, and an MMS server that a client reads without a pause.

``python -m benchmarks.siblings FOLDER``: both in processes of their own, at ordinary priority, until it is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from agent.logic.messages import BreakerStatus, CommandResult, Position, Report
from agent.mms.journal import Journal
from agent.mms.model import IedState
from agent.mms.server import MmsServer
from agent.mms.services import Services
from agent.mms.tree import Tree
from agent.station.eventlog import EventLog
from benchmarks.mms_servers import free_port

LINES = 20
"""Of the event log a turn."""
ADDRESS = "127.0.0.1"
DRAWING = Path(__file__).parents[1] / "simulator" / "feeders" / "demo.yaml"
IED = "R11_AG"
READ = f"{IED}FLISR/XCBR1.Pos.stVal"


def _model() -> Tree:
    """That of an agent of the demonstration feeder."""
    from agent.mms.described import read_tree
    from scl import describe
    from scl.generate import generate
    from scl.read import parse_bytes

    return read_tree(parse_bytes(generate(describe.load(DRAWING)).scd), IED)


def _serve(port: int, folder: Path) -> None:
    """As the station process does, but without its pauses."""
    log = EventLog(folder, "R11")
    services = Services(journal=Journal(folder / "logs.sqlite"))
    server = MmsServer(_model(), lambda _kind, _origin: 0, _no_answer, services=services)
    server.listen(ADDRESS, port)
    turn = 0
    while True:
        turn += 1
        now = time.time_ns() // 1000
        for line in range(LINES):
            log.append("load", now, {"turn": turn, "line": line})
        status = BreakerStatus(Position.OPEN if turn % 2 else Position.CLOSED)
        server.update(IedState(Report(p_kw=float(turn)), status, True, True, True), now)
        server.poll()


def _no_answer(_identifier: int) -> CommandResult | None:
    return None


def _read(port: int) -> None:
    """A client that is never content."""
    import pyiec61850.pyiec61850 as iec

    connection = iec.IedConnection_create()
    while iec.IedConnection_connect(connection, ADDRESS, port)[1]:
        time.sleep(0.05)
    while True:
        value, wrong = iec.IedConnection_readObject(connection, READ, iec.IEC61850_FC_ST)
        if wrong:
            raise OSError(f"MMS: cannot read {READ}: {wrong}")
        iec.MmsValue_delete(value)


def main(folder: Path) -> None:
    """Until SIGTERM, which ends both."""
    port = free_port()
    client = os.fork()
    if client == 0:
        _read(port)

    def end(_number: int, _frame: object) -> None:
        os.kill(client, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    _serve(port, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
