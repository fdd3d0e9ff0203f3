"""A client of others (iec61850, Rust) that looks up a log.

    python tests/mms/peer_logs.py PORT DEVICE LOG STEP...

Steps: status, enable:true or false, data-set:REFERENCE, between:FIRST_MS:LAST_MS, after:ENTRY_HEX. One JSON object a
step.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from iec61850 import FC, Iec61850Client, Iec61850ClientConfig


def shown(found: Any) -> Any:
    entries, more = found
    told = [
        (entry.entry_id.hex(), entry.time_ms, [(v.data_ref, repr(v.value), v.reason_code) for v in entry.variables])
        for entry in entries
    ]
    return {"more": more, "entries": told}


async def step(connection: Any, device: str, log: str, name: str) -> Any:
    word, _, rest = name.partition(":")
    block = f"{device}/LLN0.lcbStatus"
    if word == "enable":
        return await connection.write_bool(f"{block}.LogEna", FC.LG, rest == "true")
    if word == "data-set":
        return await connection.write_visible_string(f"{block}.DatSet", FC.LG, rest)
    if word == "status":
        names = ("LogEna", "LogRef", "DatSet", "OldEntr", "NewEntr")
        return {part: repr(await connection.read(f"{block}.{part}", FC.LG)) for part in names}
    if word == "between":
        first, last = map(int, rest.split(":"))
        found = await connection.query_journal_by_time(log, first, last)
    else:
        found = await connection.query_journal_after_entry(log, 0, bytes.fromhex(rest))
    return shown(found)


async def main(port: int, device: str, log: str, steps: list[str]) -> None:
    async with Iec61850Client(Iec61850ClientConfig(address="127.0.0.1", port=port)) as client:
        for name in steps:
            try:
                told = await step(client.connection, device, log, name)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
            print(json.dumps({name: told}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
    os._exit(0)  # its threads sometimes crash while the interpreter ends
