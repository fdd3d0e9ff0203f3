"""Clients that keep every agent's MMS server busy, built on open61850: readers, holders of reports, a hostile one.

    python -m simulator.demo.mms_load TALLY READERS ADDRESS:PORT:DOMAIN...

At each agent: READERS clients that read all the time, one that holds a buffered and an unbuffered report with a short
integrity period, and an enemy that connects and says nothing, sends altered frames, and asks without ever reading the
answers. Runs until it is ended; TALLY (JSON) says once a second how much has been read, reported and thrown.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

NICENESS = 19
INTEGRITY_MS = 200
PAUSE_S = 0.2
"""Between two of a hostile client's attempts."""
ASKED_BLINDLY = 20
READ_AT_ONCE = ("XCBR1$ST", "MMXU1$MX", "LLN0$ST", "CSWI1$ST")


class Target(NamedTuple):
    """An agent's server."""

    address: str
    port: int
    domain: str


def _for_ever(work: Callable[[Target, Counter[str]], None], target: Target, tally: Counter[str]) -> None:
    """Whatever goes wrong, it begins again: that is what such clients do."""
    while True:
        try:
            work(target, tally)
        except Exception:
            tally["begun_again"] += 1
        time.sleep(PAUSE_S)


def _read(target: Target, tally: Counter[str]) -> None:
    from open61850.mms.client import MmsClient
    from open61850.mms.pdu import ObjectName

    names = [ObjectName(item, target.domain) for item in READ_AT_ONCE]
    with MmsClient.connect(target.address, target.port) as client:
        while True:
            client.read_many(names)
            tally["reads"] += 1


def _hold(target: Target, tally: Counter[str]) -> None:
    from open61850.mms.client import MmsClient
    from open61850.mms.pdu import ObjectName
    from open61850.mms.rcb import RcbSettings, enable

    def count(_message: Any) -> None:
        tally["reports"] += 1

    with MmsClient.connect(target.address, target.port, on_information_report=count) as client:
        for block in ("LLN0$BR$brcbStatus01", "LLN0$RP$urcbMeas01"):
            enable(client, ObjectName(block, target.domain), RcbSettings(intg_pd_ms=INTEGRITY_MS))
        client.wait_closed()


def _attack(target: Target, tally: Counter[str]) -> None:
    from open61850.mms import pdu
    from open61850.mms.association import AssociationParameters, association_request
    from open61850.mms.pdu import ObjectName
    from open61850.mms.transport import connection_request

    from agent.mms.requests import tpkt

    dice = random.Random()
    asked = pdu.wrap(pdu.confirmed_request(1, pdu.read_request([ObjectName("MMXU1$MX", target.domain)])))
    begin = tpkt(connection_request()) + tpkt(b"\x02\xf0\x80" + association_request(AssociationParameters()))
    ask = tpkt(b"\x02\xf0\x80" + asked)
    where = (target.address, target.port)
    with socket.create_connection(where, timeout=5.0) as silent, socket.create_connection(where, timeout=5.0) as deaf:
        silent.sendall(begin[:9])
        deaf.sendall(begin)
        deaf.setblocking(False)
        while True:
            with suppress(BlockingIOError):
                deaf.sendall(ask * ASKED_BLINDLY)
            wrong = bytearray(begin + ask)
            wrong[dice.randrange(len(wrong))] ^= 1 << dice.randrange(8)
            with socket.create_connection(where, timeout=5.0) as other:
                other.sendall(wrong)
            tally["altered"] += 1
            time.sleep(PAUSE_S)


def main(tally_file: Path, readers: int, targets: list[Target]) -> None:
    """Until it is ended."""
    os.nice(NICENESS)
    tally: Counter[str] = Counter()
    began = time.monotonic()
    for target in targets:
        for work in (*(_read for _ in range(readers)), _hold, _attack):
            threading.Thread(target=_for_ever, args=(work, target, tally), daemon=True).start()
    while True:
        time.sleep(1.0)
        told = {"seconds": round(time.monotonic() - began, 3), **dict(tally)}
        spare = tally_file.with_suffix(".new")
        spare.write_text(json.dumps(told), encoding="utf-8")
        spare.replace(tally_file)


def _target(text: str) -> Target:
    address, port, domain = text.rsplit(":", 2)
    return Target(address, int(port), domain)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [_target(text) for text in sys.argv[3:]])
