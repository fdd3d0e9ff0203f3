"""Servers to measure an MMS client with: libiec61850 (pyiec61850-ng) in a process of its own, many in one.

    python -m benchmarks.mms_servers COUNT POINTS [CERTIFICATES NAME]

Each has POINTS integers in one data set and a buffered block for it. Orders come as lines on standard input, and each
is answered by a line on standard output, the first of which is ``ready`` and the ports:

    event SERVER POINT     the value of this point becomes the clock (ns, monotonic)
    storm SERVERS RATE S   every server of the first SERVERS changes RATE points a second, for S seconds
"""

from __future__ import annotations

import ctypes
import socket
import sys
import time
from typing import Any

from benchmarks.mms_front import front

DOMAIN, NODE, BLOCK, CONTROL = "LD0", "GGIO1", "brcb", "SPCSO1"
IED = "BENCH"


class Served:
    """One server with its threads; updates only from here."""

    def __init__(self, iec: Any, port: int, points: int) -> None:
        self._iec = iec
        self.port = port
        self._model = iec.IedModel_create(IED)
        device = iec.LogicalDevice_create(DOMAIN, self._model)
        zero = iec.LogicalNode_create("LLN0", device)
        node = iec.LogicalNode_create(NODE, device)
        self._values = []
        data_set = iec.DataSet_create("ds", zero)
        for number in range(1, points + 1):
            name = f"Cnt{number}"
            data = iec.DataObject_create(name, iec.toModelNode(node), 0)
            parent = iec.toModelNode(data)
            value = iec.DataAttribute_create(
                "stVal", parent, iec.IEC61850_INT64, iec.IEC61850_FC_ST, iec.TRG_OPT_DATA_CHANGED, 0, 0
            )
            iec.DataAttribute_create("q", parent, iec.IEC61850_QUALITY, iec.IEC61850_FC_ST, 2, 0, 0)
            iec.DataAttribute_create("t", parent, iec.IEC61850_TIMESTAMP, iec.IEC61850_FC_ST, 0, 0, 0)
            iec.DataSetEntry_create(data_set, f"{NODE}$ST${name}$stVal", -1, None)
            self._values.append(value)
        iec.CDC_SPC_create(CONTROL, iec.toModelNode(node), 0, iec.CDC_CTL_MODEL_DIRECT_NORMAL)
        iec.ReportControlBlock_create(f"{BLOCK}01", zero, "", True, "ds", 1, 19, 0xFF, 0, 0)
        self._server = iec.IedServer_create(self._model)
        iec.IedServer_setLocalIpAddress(self._server, "127.0.0.1")
        iec.IedServer_start(self._server, port)
        if not iec.IedServer_isRunning(self._server):
            raise OSError(f"port {port}")

    def change(self, point: int) -> None:
        """The point shows the clock."""
        iec = self._iec
        iec.IedServer_lockDataModel(self._server)
        iec.IedServer_updateInt64AttributeValue(self._server, self._values[point], time.monotonic_ns())
        iec.IedServer_unlockDataModel(self._server)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(count: int, points: int, folder: str = "", name: str = "") -> None:
    import pyiec61850.pyiec61850 as iec

    # Threads of 200 servers: 8 MB of stack each are only addresses, but glibc's arenas are memory.
    ctypes.CDLL(None).mallopt(-8, 2)
    servers = [Served(iec, free_port(), points) for _ in range(count)]
    ports = [server.port for server in servers]
    print("ready", *(front(ports, folder, name) if folder else ports), flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "event":
            servers[int(numbers[0])].change(int(numbers[1]))
        elif what == "storm":
            storm(servers[: int(numbers[0])], float(numbers[1]), float(numbers[2]), points)
        print("done", flush=True)


def storm(servers: list[Served], rate: float, seconds: float, points: int) -> None:
    """Changes at an even pace, behind which it does not try to catch up."""
    pause = 1.0 / (rate * len(servers))
    began = due = time.monotonic()
    number = 0
    while due < began + seconds:
        servers[number % len(servers)].change(number // len(servers) % points)
        number += 1
        due = max(due + pause, time.monotonic() - 0.01)
        wait = due - time.monotonic()
        if wait > 0.0005:
            time.sleep(wait)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
