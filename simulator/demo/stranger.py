"""A stranger on the station bus: repeats frames it has overheard, and sends changed ones, for which it has no key.

    python -m simulator.demo.stranger FRAMES

FRAMES holds overheard frames, each behind its length (two octets). Every frame is repeated as it was; then again with
the trip flag turned, with a new state number, and without the authentication extension. Prints how many it has sent.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

from agent.goose import frame as ethernet
from agent.goose.codec import Data, Kind, decode, encode

PAUSE_S = 0.003


def read(path: Path) -> list[bytes]:
    """The overheard frames."""
    octets = path.read_bytes()
    frames, at = [], 0
    while at + 2 <= len(octets):
        size = int.from_bytes(octets[at : at + 2], "big")
        frames.append(octets[at + 2 : at + 2 + size])
        at += 2 + size
    return frames


def forgeries(frame: bytes) -> list[bytes]:
    """What can be made of a frame without the key."""
    taken = ethernet.parse(frame)
    pdu = decode(taken.apdu)
    turned = tuple(
        Data(d.kind, not d.value, d.size) if i == 0 and d.kind is Kind.BOOLEAN else d for i, d in enumerate(pdu.data)
    )
    ahead = pdu._replace(st_num=pdu.st_num + 7, sq_num=0, data=turned, t=pdu.t)
    made = [frame]
    for changed in (encode(pdu._replace(data=turned)), encode(ahead)):
        if len(changed) == len(taken.apdu):
            made.append(frame.replace(taken.apdu, changed))
        # The same without the extension that authenticates it.
        made.append(ethernet.Envelope(taken.destination, taken.source, taken.appid).seal(changed))
    return made


def main(arguments: list[str]) -> int:
    """Entry point of the process."""
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as end:
        end.bind(("station", 0))
        for frame in read(Path(arguments[0])):
            for forgery in forgeries(frame):
                end.send(forgery)
                sent += 1
                time.sleep(PAUSE_S)
    print(json.dumps({"sent": sent}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
