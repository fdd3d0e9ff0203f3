"""A client of others (iec61850, Rust, rustls) over mutual TLS: what it may do, and what it is told when it may not.

python tests/mms/peer_secured.py PORT FOLDER NAME IED:LOGICAL_DEVICE STEP...

Steps: read, browse, open, close, automation-off, write, select-group, stop-log, data-set, wait. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from iec61850 import (
    FC,
    ControlModel,
    DataSetMember,
    Iec61850Client,
    Iec61850ClientConfig,
    IedConnection,
    OriginValue,
    TlsConfig,
)


def outcome(told: Any) -> dict[str, Any]:
    """Of a control."""
    return {"ok": bool(told.success), "add_cause": None if told.add_cause is None else str(told.add_cause)}


async def control(connection: IedConnection, reference: str, value: bool, select: bool) -> dict[str, Any]:
    model = ControlModel.SBO_ENHANCED if select else ControlModel.DIRECT_NORMAL
    ordered = connection.create_control_object(reference, model)
    ordered.set_origin(OriginValue(3, b"tester"))
    if select:
        selected = outcome(await ordered.select_with_value(value))
        if not selected["ok"]:
            return {"selected": selected}
    return {"operated": outcome(await ordered.operate(value))}


async def step(connection: IedConnection, device: str, name: str) -> Any:
    if name == "read":
        return repr(await connection.read(f"{device}/XCBR1.Pos.stVal", FC.ST))
    if name == "browse":
        return len((await connection.get_device_model())["logical_devices"])
    if name in ("open", "close"):
        return await control(connection, f"{device}/CSWI1.Pos", name == "close", select=True)
    if name == "automation-off":
        return await control(connection, f"{device}/GGIO1.SPCSO1", False, select=False)
    if name == "write":
        return await connection.write_visible_string(f"{device}/LLN0.NamPlt.vendor", FC.DC, "somebody")
    if name == "select-group":
        return await connection.write_uint32(f"{device}/LLN0.SGCB.ActSG", FC.SP, 2)
    if name == "stop-log":
        return await connection.write_bool(f"{device}/LLN0.lcbStatus.LogEna", FC.LG, False)
    if name == "data-set":
        member = DataSetMember(f"{device}/LLN0.Beh.stVal", FC.ST)
        return await connection.create_data_set(f"{device}/LLN0.mine", [member])
    return await asyncio.sleep(60)


async def main(port: int, folder: Path, name: str, device: str, steps: list[str]) -> None:
    ied, _, instance = device.partition(":")
    files = [(folder / file).read_bytes() for file in ("ca.pem", f"{name}.pem", f"{name}.key")]
    tls = TlsConfig(files[0], files[1], files[2], verify_hostname=False)
    config = Iec61850ClientConfig(address="127.0.0.1", port=port, tls=tls, tls_server_name=ied)
    told: dict[str, Any] = {}
    async with Iec61850Client(config) as client:
        print(json.dumps({"associated": True}), flush=True)
        for wanted in steps:
            try:
                told[wanted] = await step(client.connection, ied + instance, wanted)
            except Exception as error:
                told[wanted] = f"{type(error).__name__}: {error}"
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]))
