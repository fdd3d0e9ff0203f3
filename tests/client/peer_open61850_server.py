"""A server of others (open61850): serves an IED of an SCL file. Orders: ``REFERENCE VALUE`` sets a value.

python tests/client/peer_open61850_server.py PORT SCL IED
"""

from __future__ import annotations

import sys

from open61850.server.__main__ import apply_line
from open61850.server.model import IedModel
from open61850.server.server import MmsServer


def main(port: int, scl: str, ied: str) -> None:
    model = IedModel.from_scl(scl, ied)
    server = MmsServer(model, "127.0.0.1", port)
    server.start()
    print("ready", flush=True)
    for line in sys.stdin:
        print(apply_line(model, line), flush=True)
    server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
