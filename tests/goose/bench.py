"""The commands of ``flisr goose`` and ``flisr sv`` at the two ends of a veth pair; run by ``lab.in_namespace``."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agent.goose.codec import decode
from agent.goose.dataset import DataSet
from agent.goose.frame import parse
from agent.goose.stream import Stream
from agent.goose.subscriber import Dropped, Subscriber
from agent.goose.tap import read_capture
from agent.security import keys
from scl.flisr_dataset import Member
from tests.goose.peers import veth

REFERENCE = "X1LD0/LLN0$GO$gcb01"
TYPES = ("BOOLEAN", "INT32", "Dbpos", "FLOAT32")
MEMBERS = tuple(Member(name, "LD0", "", "GGIO", "1", name, "stVal", "ST", name) for name in TYPES)
SETTLE_S = 1.5


def flisr(*arguments: str) -> dict[str, Any]:
    """A command's JSON."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("flisr")), *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


class Beside(threading.Thread):
    """A command that runs while something else happens."""

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self.arguments = arguments
        self.told: dict[str, Any] = {}
        self.start()
        time.sleep(SETTLE_S)  # until it listens

    def run(self) -> None:
        self.told = flisr(*self.arguments)

    def end(self) -> dict[str, Any]:
        """What it said."""
        self.join()
        return self.told


class _Raw:
    """The values as they come."""

    def to_values(self, message: Any) -> tuple[Any, ...]:
        return tuple(message)

    def from_values(self, values: Any) -> Any:
        return tuple(values)


def by_hand(folder: str) -> dict[str, Any]:
    """Publish, listen and keep, replay what was kept, listen again; and what our subscriber makes of the replay."""
    veth()
    key_file, capture = str(Path(folder) / "keys.yaml"), str(Path(folder) / "heard.pcap")
    keys.write_laboratory_keys(key_file, ["flisr"])
    ear = Beside("goose", "sniff", "-i", "vb", "--seconds", "4", "--keys", key_file, "--write", capture)
    published = flisr(
        "goose", "publish", "-i", "va", "--gocb-ref", REFERENCE, "--keys", key_file, "--seconds", "1.5",
        "--every", "0.4", "--value", "BOOLEAN:true,false,true", "--value", "INT32:5,6", "--value", "Dbpos:on",
        "--value", "FLOAT32:1.5",
    )  # fmt: skip
    heard = ear.end()
    ear = Beside("goose", "sniff", "-i", "vb", "--seconds", "3", "--keys", key_file)
    replayed = flisr("goose", "replay", capture, "-i", "va", "--speed", "10")
    return {
        "published": published, "heard": heard, "replayed": replayed, "heard_again": ear.end(),
        "dropped": _subscribe(capture, keys.load(key_file).group("flisr")),
    }  # fmt: skip


def _subscribe(capture: str, ring: tuple[Any, ...]) -> dict[str, int]:
    frames = [packet.frame for packet, _ in read_capture(capture)]
    pdu = decode(parse(frames[0]).apdu)
    stream = Stream(REFERENCE, pdu.dat_set, pdu.go_id or "", 1, 1, TYPES, mac="01-0C-CD-01-00-01")
    subscriber: Subscriber[Any] = Subscriber(stream, DataSet("dsByHand", MEMBERS, _Raw()), ring)
    causes: Counter[str] = Counter()
    for frame in frames:
        result = subscriber.receive(frame, time.time_ns() // 1000 + 60_000_000)
        causes[result.reason.value if isinstance(result, Dropped) else "accepted"] += 1
    return dict(causes)


def samples(folder: str) -> dict[str, Any]:
    """A stream published by hand, and a record played, both heard at the other end."""
    veth()
    key_file, record = str(Path(folder) / "keys.yaml"), str(Path(folder) / "record.cfg")
    keys.write_laboratory_keys(key_file, ["flisr"])
    ear = Beside("sv", "sniff", "-i", "vb", "--seconds", "4", "--keys", key_file)
    published = flisr("sv", "publish", "-i", "va", "--sv-id", "MU1", "--keys", key_file, "--seconds", "1.5")
    heard = ear.end()
    png = str(Path(folder) / "scope.png")
    ear = Beside("sv", "scope", "-i", "vb", "--seconds", "5", "--sv-id", "MU2", "--png", png, "--window", "2")
    played = flisr("sv", "play", record, "-i", "va", "--sv-id", "MU2", "--no-authentication", "--lead-in", "0.5")
    return {"published": published, "heard": heard, "played": played, "scope": ear.end()}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
