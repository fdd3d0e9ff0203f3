"""libiec61850's R-session with AES-GCM at the other end, through ctypes on the library that pyiec61850 brings.

Run by ``lab.in_namespace``; the wrapper of pyiec61850 has no R-session, the library has. Its receiver looks for the MAC
of HMAC one octet late, GMAC it does not have: version 2 with encryption is what it can do.
"""

from __future__ import annotations

import ctypes as c
import json
import socket
import sys
import time
from importlib import metadata
from typing import Any

from agent.goose import session
from agent.goose.dataset import status_data_set
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Subscriber
from agent.security.frames import Algorithm, Key, make_key
from tests.goose.lab import STATUS, stream
from tests.goose.peers import now, veth

PORT = 10_102
KEY_ID = 9
SECRET = {"aes-128-gcm": b"0123456789ABCDEF", "aes-256-gcm": b"0123456789ABCDEFfedcba9876543210"}
NUMBER = {"aes-128-gcm": 1, "aes-256-gcm": 2}
LISTENER = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p)
STATES = (STATUS, STATUS._replace(operations=70_000, local=False))


def library() -> c.CDLL:
    """The bundled shared object; every function gives and takes pointers unless told otherwise."""
    import pyiec61850.pyiec61850  # noqa: F401  its loader finds what the library needs

    files = metadata.files("pyiec61850-ng") or []
    path = next(file.locate() for file in files if file.name.startswith("libiec61850"))
    lib = c.CDLL(str(path))
    pointers = (
        "RSession_create GoosePublisher_createRemote GooseReceiver_createRemote GooseSubscriber_create "
        "GooseSubscriber_getDataSetValues LinkedList_create MmsValue_newBoolean MmsValue_newBitString "
        "MmsValue_newIntegerFromInt32 MmsValue_getElement"
    )
    for name in pointers.split():
        getattr(lib, name).restype = c.c_void_p
    for name in ("GooseSubscriber_isValid", "GooseReceiver_isRunning", "MmsValue_getBoolean"):
        getattr(lib, name).restype = c.c_bool
    for name in ("GooseSubscriber_getStNum", "GooseSubscriber_getSqNum", "MmsValue_getBitStringAsIntegerBigEndian"):
        getattr(lib, name).restype = c.c_uint32
    lib.MmsValue_toInt64.restype = c.c_int64
    return lib


def _session(lib: c.CDLL, algorithm: str, secret: bytes) -> c.c_void_p:
    made = c.c_void_p(lib.RSession_create())
    assert lib.RSession_addKey(made, c.c_uint32(KEY_ID), secret, len(secret), NUMBER[algorithm], 0) == 0
    assert lib.RSession_setActiveKey(made, c.c_uint32(KEY_ID)) == 0
    return made


def _key(algorithm: str) -> Key:
    return make_key(KEY_ID, next(a for a in Algorithm if a.text == algorithm), SECRET[algorithm])


def it_hears_us(algorithm: str, secret: str) -> dict[str, Any]:
    """Our encrypted status at its subscriber; ``wrong``: with another secret of the same number."""
    lib = library()
    data_set = status_data_set()
    told = stream(data_set, routed=True)
    theirs = SECRET[algorithm] if secret == "right" else SECRET[algorithm][::-1]
    remote = _session(lib, algorithm, theirs)
    lib.RSession_setLocalAddress(remote, b"127.0.0.1", PORT)
    receiver = c.c_void_p(lib.GooseReceiver_createRemote(remote))
    subscriber = c.c_void_p(lib.GooseSubscriber_create(told.gocb_ref.encode(), None))
    lib.GooseSubscriber_setAppId(subscriber, c.c_uint16(told.appid))
    heard: list[list[Any]] = []

    def listen(_subscriber: int, _parameter: int) -> None:
        values = c.c_void_p(lib.GooseSubscriber_getDataSetValues(subscriber))
        heard.append([
            lib.GooseSubscriber_isValid(subscriber), lib.GooseSubscriber_getStNum(subscriber),
            [_value(lib, c.c_void_p(lib.MmsValue_getElement(values, i)), b) for i, b in enumerate(data_set.b_types)],
        ])  # fmt: skip

    listener = LISTENER(listen)
    lib.GooseSubscriber_setListener(subscriber, listener, None)
    lib.GooseReceiver_addSubscriber(receiver, subscriber)
    lib.GooseReceiver_start(receiver)  # which starts the session: started before, it would not listen
    assert lib.GooseReceiver_isRunning(receiver)
    time.sleep(0.1)
    publisher = Publisher(told, data_set, _key(algorithm))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        for number, status in enumerate(STATES, 1):
            end.sendto(publisher.publish(status, now()), ("127.0.0.1", PORT))
            until = time.monotonic() + (2 if secret == "right" else 0.3)
            while len(heard) < number and time.monotonic() < until:
                time.sleep(0.005)
    lib.GooseReceiver_stop(receiver)
    lib.GooseReceiver_destroy(receiver)
    return {"heard": heard, "sent": [list(data_set.to_values(status)) for status in STATES]}


def _value(lib: c.CDLL, value: c.c_void_p, b_type: str) -> int | bool:
    if b_type == "BOOLEAN":
        return bool(lib.MmsValue_getBoolean(value))
    if b_type == "Dbpos":
        return int(lib.MmsValue_getBitStringAsIntegerBigEndian(value))
    return int(lib.MmsValue_toInt64(value))


def we_hear_it(algorithm: str, secret: str) -> dict[str, Any]:
    """Its encrypted status at our subscriber."""
    lib = library()
    data_set = status_data_set()
    told = stream(data_set, routed=True)
    theirs = SECRET[algorithm] if secret == "right" else SECRET[algorithm][::-1]
    remote = _session(lib, algorithm, theirs)
    lib.RSession_setRemoteAddress(remote, b"127.0.0.1", PORT)
    publisher = c.c_void_p(lib.GoosePublisher_createRemote(remote, c.c_uint16(told.appid)))
    lib.GoosePublisher_setGoCbRef(publisher, told.gocb_ref.encode())
    lib.GoosePublisher_setDataSetRef(publisher, told.dat_set.encode())
    lib.GoosePublisher_setGoID(publisher, told.go_id.encode())
    lib.GoosePublisher_setConfRev(publisher, c.c_uint32(told.conf_rev))
    lib.GoosePublisher_setTimeAllowedToLive(publisher, c.c_uint32(500))
    subscriber = Subscriber(told, data_set, (_key(algorithm),))
    results, ivs, encrypted = [], [], []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", PORT))
        end.settimeout(2)
        for status in STATES:
            values = c.c_void_p(lib.LinkedList_create())
            for b_type, raw in zip(data_set.b_types, data_set.to_values(status), strict=True):
                lib.LinkedList_add(values, _new(lib, b_type, int(raw)))
            lib.GoosePublisher_increaseStNum(publisher)
            for _ in range(2):
                assert lib.GoosePublisher_publish(publisher, values) == 0
                payload = end.recv(2000)
                result = subscriber.receive(payload, now())
                if isinstance(result, Accepted):
                    results.append([result.new, result.message == status])
                else:
                    results.append(result.reason.value)
                ivs.append(payload[27:39].hex())
                encrypted.append(told.gocb_ref.encode() not in payload)
                assert payload[14:16] == b"\0\2"
    return {"results": results, "ivs": ivs, "encrypted": encrypted, "tag": session.GOOSE}


def _new(lib: c.CDLL, b_type: str, raw: int) -> c.c_void_p:
    if b_type == "BOOLEAN":
        return c.c_void_p(lib.MmsValue_newBoolean(c.c_bool(bool(raw))))
    if b_type == "Dbpos":
        value = c.c_void_p(lib.MmsValue_newBitString(2))
        lib.MmsValue_setBitStringFromIntegerBigEndian(value, c.c_uint32(raw))
        return value
    return c.c_void_p(lib.MmsValue_newIntegerFromInt32(c.c_int32(raw)))


if __name__ == "__main__":
    veth()
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
