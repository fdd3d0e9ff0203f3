"""A client of others (iec61850, Rust): names of the model, and values it reads.

python tests/mms/peer_iec61850.py PORT REFERENCE:FC...
"""

from __future__ import annotations

import asyncio
import json
import sys

from iec61850 import FC, Iec61850Client, Iec61850ClientConfig


async def main(port: int, wanted: list[str]) -> None:
    async with Iec61850Client(Iec61850ClientConfig(address="127.0.0.1", port=port)) as client:
        model = await client.connection.get_device_model()
        names = [name for device in model["logical_devices"] for name in device["variables"]]
        values = {}
        for entry in wanted:
            reference, _, constraint = entry.rpartition(":")
            values[reference.partition("/")[2]] = repr(await client.connection.read(reference, FC[constraint]))
        print(json.dumps({"names": names, "values": values}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
