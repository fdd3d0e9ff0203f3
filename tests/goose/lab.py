"""What the wire's tests share: streams, pcap files, tshark, and code run in a network namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.goose.dataset import DataSet
from agent.goose.link import Received
from agent.goose.stream import Stream
from agent.goose.tap import Packet, read_capture, write_capture
from agent.logic.messages import (
    BreakerStatus,
    Direction,
    Level,
    Live,
    Position,
    Report,
    Request,
    RequestKind,
)
from agent.security.frames import Algorithm, Key

NOW = 1_800_000_000_123_456
KEY = Key(7, Algorithm.HMAC_SHA256_128, bytes(range(32)), "flisr", 1_790_000_000, 60)
MAC = "01-0C-CD-01-00-11"
GROUP = "239.61.85.1"
CAPTURES = Path(__file__).parents[1] / "data" / "captures"
REPORT = Report(
    Position.CLOSED,
    Level.PICKUP,
    Direction.INTO_B,
    NOW - 9_000,
    0,
    NOW - 500,
    3127.5,
    Live.LIVE,
    Live.DEAD,
    -512.25,
    98.5,
    41,
    0b101,
    NOW - 400,
    False,
    True,
    False,
    True,
    False,
    True,
    True,
    True,
    Request(12, RequestKind.RESTORE, 0b11000, 640.0, 120.5, 0b1),
    ((3, 5), (11, 2)),
)
STATUS = BreakerStatus(Position.OPEN, Live.DEAD, Live.LIVE, True, True, False, 77, Level.START, Direction.INTO_A)


def stream(data_set: DataSet[Any], routed: bool = False, vlan: tuple[int, int] | None = (5, 6)) -> Stream:
    """A stream of this data set."""
    return Stream(
        gocb_ref="R11_AGFLISR/LLN0$GO$gcbFlisr",
        dat_set=f"R11_AGFLISR/LLN0${data_set.name}",
        go_id="R11_AG.gcbFlisr",
        appid=0x1011,
        conf_rev=10001,
        b_types=data_set.b_types,
        mac=MAC,
        vlan=vlan,
        group=GROUP if routed else "",
    )


def udp_frame(datagram: bytes, port: int = 102) -> bytes:
    """Ethernet, IPv4 and UDP around a datagram, for a pcap."""
    udp = struct.pack(">HHHH", port, port, 8 + len(datagram), 0) + datagram
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 1, 17, 0, bytes((10, 0, 0, 1)), bytes((239, 1, 1, 1))
    )
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
    return bytes.fromhex("01005e010101 020000000001 0800") + head + udp


class Ether:
    """A link whose far end is a list."""

    address = bytes(6)

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return -1

    def send(self, payload: bytes, group: str = "") -> bool:
        self.sent.append(payload)
        return True

    def receive(self) -> list[Received]:
        return []

    def close(self) -> None:
        """Nothing to close."""


def write_pcap(path: Path, frames: Iterable[bytes]) -> None:
    """A capture of Ethernet frames, 1 ms apart."""
    second = NOW // 1_000_000 * 1_000_000
    write_capture(path, (Packet(second + number * 1000, octets) for number, octets in enumerate(frames)))


def read_pcap(path: Path) -> list[bytes]:
    """The frames of a capture."""
    return [packet.frame for packet, _ in read_capture(path)]


def tshark(path: Path, *arguments: str) -> str:
    """What tshark says of a capture; skips the test where there is no tshark."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed (apt-get install tshark)")
    done = subprocess.run(
        ["tshark", "-n", "-r", str(path), *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def tshark_json(path: Path, *arguments: str) -> list[dict[str, Any]]:
    """Layers of each frame, duplicate keys as lists."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in items:
            made.setdefault(name, []).append(value)
        return made

    text = tshark(path, "-T", "json", *arguments)
    return [packet["_source"][0]["layers"][0] for packet in json.loads(text, object_pairs_hook=pairs)]


def find(tree: Any, name: str) -> list[Any]:
    """All values of a field in tshark's tree, in order."""
    found: list[Any] = []
    if isinstance(tree, dict):
        for key, value in tree.items():
            for item in value if isinstance(value, list) else [value]:
                if key == name:
                    found.append(item)
                if isinstance(item, dict | list):
                    found += find(item, name)
    elif isinstance(tree, list):
        for item in tree:
            found += find(item, name)
    return found


def in_namespace(script: str, *arguments: str) -> dict[str, Any]:
    """Run ``goose/<script>.py`` in new network (and, for an ordinary user, user) namespaces; its JSON."""
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs root or an unprivileged user namespace (unshare -Urn)")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*unshare, sys.executable, "-m", f"tests.goose.{script}", *arguments],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root}"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
