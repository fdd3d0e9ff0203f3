"""A client of others (open61850) that selects and edits setting groups.

    python tests/mms/peer_settings.py PORT LOGICAL_DEVICE STEP...

Steps: sgcb, active:N, edit:N, confirm, unconfirm, read:ITEM, write:ITEM=NUMBER, other (the next steps
by another client). One JSON object a step.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from open61850.data import BoolData, FloatData, IECData
from open61850.mms.client import MmsClient
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import ObjectName
from open61850.mms.sgcb import confirm_edit_sg_values, read_sgcb, select_active_sg, select_edit_sg


def shown(value: IECData) -> Any:
    return getattr(value, "value", repr(value))


def step(client: MmsClient, device: str, name: str) -> Any:
    word, _, rest = name.partition(":")
    if word == "sgcb":
        block = read_sgcb(client, device)
        return {"groups": block.num_of_sg, "active": block.act_sg, "edited": block.edit_sg, "reserved": block.resv_tms}
    if word == "active":
        return select_active_sg(client, device, int(rest))
    if word == "edit":
        return select_edit_sg(client, device, int(rest))
    if word == "confirm":
        return confirm_edit_sg_values(client, device)
    if word == "unconfirm":
        return client.write(ObjectName("LLN0$SP$SGCB$CnfEdit", device), BoolData(False))
    if word == "read":
        return shown(client.read(ObjectName(rest, device)))
    item, _, number = rest.partition("=")
    value: IECData = BoolData(number == "true") if number in ("true", "false") else FloatData(float(number))
    return client.write(ObjectName(item, device), value)


def main(port: int, device: str, steps: list[str]) -> None:
    clients = [MmsClient.connect("127.0.0.1", port, timeout=20.0) for _ in range(2)]
    for name in steps:
        if name == "other":
            clients.reverse()
            continue
        try:
            told = step(clients[0], device, name)
        except DataAccessError as error:
            told = f"error {error.code}"
        print(json.dumps({name: told}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
