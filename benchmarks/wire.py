"""GOOSE there and back between two processes, authenticated, on a virtual cable; Sampled Values, 160 streams.

One process publishes a report with a new state, the other accepts it (form, MAC, sequence, age, values) and publishes
its own; the first accepts that. Beside it, where there is a C compiler, the same cable with a bare C echo at the far
end: what remains is the price of the machine and of the first process. And with libiec61850's subscriber and publisher
there, called from Python, without authentication (it has none); what comes back from either is not looked at. Without
the right to a network namespace it runs over loopback multicast (R-GOOSE), alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.goose.dataset import report_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.link import L2, Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Subscriber
from agent.logic.messages import Report
from agent.security.frames import Algorithm, Key
from agent.station.realtime import prepare
from benchmarks import samples
from benchmarks.row import Row
from simulator import lan

ZONES, DEVICES = 12, 12
PAUSE_S = 0.001
"""Between two events, so that the far process sleeps as it would in a substation."""
PRIORITY = 50
IDLE, LOADED = "idle", "two CPU hogs"
ECHO_NAME = "bare C echo"
PEER_NAME = "libiec61850, no authentication"
PEER = "libiec61850"
"""In place of the echo program's name."""
UNREAD = "ours, unread"
"""Our far end, and a near end that does with its answer what it does with another's."""
LOST_MAX = 20
UDP_PORT = 20_102


def run(quick: bool) -> list[Row]:
    """Round trips, idle and with two processes that burn the processor."""
    count = 3_000 if quick else 30_000
    routed = bool(lan.permitted())
    rows: list[Row] = []
    for load in (IDLE, LOADED):
        ours = _measure(count, load, routed, "")
        bare = None if routed else _measure_echo(count, load)
        peer = None if routed or not _has_peer() else _measure(count, load, routed, PEER)
        unread = _measure(count, load, routed, UNREAD) if peer is not None else ours
        wire = "r-goose round trip hmac" if routed else "goose round trip hmac"
        for metric in ("p50", "p99", "p99.9"):
            echo = None if bare is None else bare[metric]
            goal = 1.3 * echo if metric == "p50" and echo is not None and load == IDLE else 500.0
            name = ECHO_NAME if bare else None
            rows.append(Row(f"{wire} {load}", metric, "µs", ours[metric], goal, peer=echo, peer_name=name))
        if peer is not None:
            for metric in ("p50", "p99.9"):
                told, wanted = f"{wire} {load}, against another", peer[metric]
                rows.append(Row(told, metric, "µs", unread[metric], wanted, peer=wanted, peer_name=PEER_NAME))
        rows.append(Row(f"{wire} {load}", "lost", "events", ours["lost"], 0.0))
    return [*rows, *samples.rows(quick)]


def _measure_echo(count: int, load: str) -> dict[str, float] | None:
    """With the bare echo at the far end; None where it cannot be built."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        program = str(Path(folder) / "echo")
        subprocess.run([compiler, "-O2", "-o", program, str(Path(__file__).with_name("echo.c"))], check=True)
        return _measure(count, load, False, program)


def _measure(count: int, load: str, routed: bool, echo: str) -> dict[str, float]:
    """In a process of its own: entering a namespace has no way back."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 if load == LOADED else 0)]
    try:
        request = json.dumps({"count": count, "routed": routed, "echo": echo})
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.wire", request],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=60 + count * 0.01,
            cwd=Path(__file__).parents[1],
        )
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _stream(number: int) -> Stream:
    types = report_data_set(ZONES, DEVICES).b_types
    reference = f"X{number}_AGLD0/LLN0"
    return Stream(
        f"{reference}$GO$gcbFlisr",
        f"{reference}$dsFlisr",
        f"X{number}",
        number,
        1,
        types,
        mac=f"01-0C-CD-01-00-0{number}",
        group="" if not _routed else f"239.192.0.{number}",
    )


_routed = False


def _endpoint(own: int, other: int, secured: bool) -> tuple[Endpoint, Publisher[Report], Subscriber[Report]]:
    key = Key(1, Algorithm.HMAC_SHA256_128, bytes(range(32)), "bench") if secured else None
    data_set = report_data_set(ZONES, DEVICES)
    heard = _stream(other)
    link = open_link(Udp((heard.group,), UDP_PORT) if _routed else L2("process", (heard.mac,)))
    publisher = Publisher(_stream(own), data_set, key, source=link.address)
    subscriber = Subscriber(heard, data_set, (key,) if key else None)
    return Endpoint(link, (publisher,), (subscriber,)), publisher, subscriber


def _now() -> int:
    return time.time_ns() // 1000


def _answer(ready: int) -> None:
    """The far process: each new state is answered with one of ours."""
    endpoint, publisher, _ = _endpoint(2, 1, True)
    prepare(PRIORITY)
    os.write(ready, b"1")
    number = 0
    while True:
        select.select([endpoint.fileno()], [], [])
        for heard in endpoint.receive():
            if heard.result.new:
                number += 1
                endpoint.publish(publisher, heard.result.message._replace(claim_number=number), _now())


def _has_peer() -> bool:
    return importlib.util.find_spec("pyiec61850") is not None


def _answer_as_libiec61850(ready: int) -> None:
    """The far process by libiec61850: a new state in, parsed by it, a new state of its own out."""
    import pyiec61850.pyiec61850 as lib

    heard, told = _stream(1), _stream(2)
    receiver = lib.GooseReceiver_create()
    lib.GooseReceiver_setInterfaceId(receiver, "process")
    subscriber = lib.GooseSubscriber_create(heard.gocb_ref, None)
    lib.GooseSubscriber_setAppId(subscriber, heard.appid)
    lib.GooseReceiver_addSubscriber(receiver, subscriber)
    parameters = lib.CommParameters()
    parameters.appId, parameters.vlanId, parameters.vlanPriority = told.appid, 0, 0
    lib.CommParameters_setDstAddress(parameters, *told.destination)
    publisher = lib.GoosePublisher_createEx(parameters, "process", False)
    lib.GoosePublisher_setGoCbRef(publisher, told.gocb_ref)
    lib.GoosePublisher_setDataSetRef(publisher, told.dat_set)
    lib.GoosePublisher_setGoID(publisher, told.go_id)
    values = lib.LinkedList_create()
    kept = [lib.MmsValue_newIntegerFromInt32(number) for number in range(len(told.b_types))]
    for value in kept:
        lib.LinkedList_add(values, value)
    if lib.GooseReceiver_startThreadless(receiver) is None:
        raise OSError("libiec61850 cannot listen")
    bell = open_link(L2("process", (heard.mac,)))
    prepare(PRIORITY)
    os.write(ready, b"1")
    number = lib.GooseSubscriber_getStNum(subscriber)
    while True:
        select.select([bell.fileno()], [], [])
        bell.receive()
        while lib.GooseReceiver_tick(receiver):
            if (now := lib.GooseSubscriber_getStNum(subscriber)) != number:
                number = now
                lib.GoosePublisher_increaseStNum(publisher)
                lib.GoosePublisher_publish(publisher, values)


def _ask(count: int, far: str) -> dict[str, float]:
    """The near process: publish, and wait for the other's new state.

    ``far``: empty for ours; else whatever comes back (from the echo, our own frame) is taken off the socket unread.
    """
    endpoint, publisher, _ = _endpoint(1, 2 if far in ("", PEER, UNREAD) else 1, far != PEER)
    prepare(PRIORITY)

    def answered() -> bool:
        if far:
            return bool(endpoint.link.receive())
        return any(heard.result.new for heard in endpoint.receive())

    times: list[int] = []
    lost = 0
    for number in range(1, count + 1):
        time.sleep(PAUSE_S)
        began = time.perf_counter_ns()
        endpoint.publish(publisher, Report(claim_number=number), _now())
        if _wait(endpoint, answered):
            times.append(time.perf_counter_ns() - began)
        else:
            lost += 1
            if lost > LOST_MAX:
                raise RuntimeError(f"{lost} of {number} events lost")
    return _figures(times, lost)


def _wait(endpoint: Endpoint, done: Callable[[], bool]) -> bool:
    until = time.monotonic() + 1.0
    while (left := until - time.monotonic()) > 0:
        select.select([endpoint.fileno()], [], [], left)
        if done():
            return True
    return False


def _figures(times: list[int], lost: int) -> dict[str, float]:
    times.sort()
    figure = {name: times[min(int(len(times) * part), len(times) - 1)] / 1000 for name, part in
              (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))}  # fmt: skip
    return {**figure, "lost": float(lost)}


def _main(request: dict[str, object]) -> None:
    global _routed  # noqa: PLW0603  (set once, before anything else runs in this process)
    _routed = bool(request["routed"])
    count, program = int(str(request["count"])), str(request["echo"])
    near: lan.Host
    far: lan.Host
    if _routed:
        near = far = lan.Loopback()
    else:
        network = lan.Lan.open()
        one, other = network.host("near"), network.host("far")
        network.join(one, other)
        near, far = one, other
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        far.enter()
        if program == PEER:
            os.dup2(2, 1)  # it talks
            _answer_as_libiec61850(write)
        if program not in ("", UNREAD):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
            os.dup2(write, 1)
            os.execv(program, [program, "process"])
        _answer(write)
    os.close(write)
    try:
        os.read(read, 1)
        near.enter()
        print(json.dumps(_ask(count, program)))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
