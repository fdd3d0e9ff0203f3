"""A protection process without network, for tests of the station process: the real loop, brain, memory and channel."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from agent.goose.known import Mark
from agent.logic.brain import LOCKED_UNREADABLE, Brain
from agent.logic.messages import LockRecord
from agent.station import plain
from agent.station.protection import Loop
from tests.station.test_engine import FEEDER
from tests.station.test_protection import FakeCore, FakeWire


def main() -> int:
    with os.fdopen(int(sys.argv[2]), "rb") as file:
        document = json.loads(file.read())
    if document.get("die"):
        print("no, said the stand-in", file=sys.stderr)
        return 3
    record = None if document["record"] is None else plain.load(LockRecord, document["record"])
    if document["unreadable"]:
        record = LOCKED_UNREADABLE
    wire = FakeWire()
    restored = plain.load(dict[str, Mark], document["marks"])
    wire.restored = len(restored)
    wire.heard.update(restored)
    loop = Loop(
        lambda restored: Brain(FEEDER, 1, restored=restored),
        record, wire, FakeCore(), Path(document["directory"]), "digest", document["time_good"], ["a limit"],
    )  # fmt: skip

    def feed() -> None:
        while True:
            wire.outside.send(b"o" if document.get("open") else b"b")
            wire.outside.send(b"p")
            wire.heard = {name: mark._replace(sq_num=(mark.sq_num or 0) + 1) for name, mark in wire.heard.items()}
            threading.Event().wait(0.1)

    threading.Thread(target=feed, daemon=True).start()
    return loop.run()


if __name__ == "__main__":
    sys.exit(main())
