"""A client of others (open61850): compares the served model with the SCD, and waits for a buffered report.

    python tests/mms/peer_open61850.py PORT SCD IED

Prints one JSON object a line: first the differences, then that the block is enabled, then the reports' entries.
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

from open61850.data import BoolData
from open61850.mms.client import MmsClient
from open61850.mms.errors import MmsError
from open61850.mms.model import compare, discover
from open61850.mms.pdu import ObjectName
from open61850.mms.rcb import enable
from open61850.mms.report import decode_report, is_report
from open61850.scl import load_model


def main(port: int, scd: str, ied: str) -> None:
    client = MmsClient.connect("127.0.0.1", port, timeout=20.0)
    # FC SE comes with FC SG (IEC 61850-8-1); SCL does not name it.
    found = compare(load_model(scd, ied), discover(client))
    say(differences=[text for text in found if not (text.startswith("extra") and text.endswith("[SE]"))])
    heard: queue.Queue[Any] = queue.Queue()
    client.add_report_listener(lambda message: heard.put(message) if is_report(message) else None)
    domain = f"{ied}FLISR"
    members = [str(name) for name in client.get_data_set_members(ObjectName("LLN0$dsStatus", domain))]
    enable(client, ObjectName("LLN0$BR$brcbStatus01", domain))
    refused = []
    for item in ("LLN0$GO$gcbFlisr$GoEna", "PTOC1$SG$StrVal$setMag$f", "LLN0$SP$SGCB$EditSG"):
        try:
            client.write(ObjectName(item, domain), BoolData(True))
        except MmsError:
            refused.append(item)
    say(enabled=True, refused=refused)
    while True:
        report = decode_report(heard.get(timeout=20.0))
        entries = {members[entry.index].split("/")[-1]: text(entry.value) for entry in report.entries}
        reasons = {members[entry.index].split("/")[-1]: text(entry.reason) for entry in report.entries}
        say(entries=entries, reasons=reasons, entry_id=(report.entry_id or b"").hex())


def text(value: object) -> str:
    return repr(value)


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
