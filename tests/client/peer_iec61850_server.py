"""A server of others (iec61850, Rust, rustls) with its own mutual TLS: serves an IED of an SCL file.

python tests/client/peer_iec61850_server.py PORT SCL IED FOLDER NAME
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from iec61850 import _native

SBO_ENHANCED = 4


async def main(port: int, scl: str, ied: str, folder: Path, name: str) -> None:
    server = _native.IedServer.from_scl(scl, ied_name=ied)
    server.bind(f"127.0.0.1:{port}")
    own, key, authority = ((folder / file).read_bytes() for file in (f"{name}.pem", f"{name}.key", "ca.pem"))
    server.with_tls(own, key, client_ca_pem=authority)
    server.on_control("FLISR/CSWI1.Pos", ctl_model="sbo-enhanced", operate=lambda *_: None, wait=lambda *_: None)
    await server.start()
    # It takes no ctlModel from the file.
    server.update_int32("FLISR/CSWI1.Pos.ctlModel", SBO_ENHANCED)
    print("ready", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]), sys.argv[5]))
