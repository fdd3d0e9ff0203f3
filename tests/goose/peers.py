"""Other people's programs at the other end of a veth pair; run by ``lab.in_namespace`` in a namespace of its own.

One function a case; the last line on standard output is its result as JSON.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from typing import Any

from pyroute2 import IPRoute

from agent.goose.dataset import DataSet, report_data_set, status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.link import L2, Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream, mac_octets
from agent.goose.subscriber import Subscriber
from agent.sv import codec as sv
from agent.sv.frame import open_payload, sealer
from tests.goose.lab import KEY, REPORT, STATUS, stream

SV_MAC = "01-0C-CD-04-00-01"
SV_APPID = 0x4001


def now() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def veth() -> None:
    """va and vb, up."""
    with IPRoute() as ip:
        ip.link("add", ifname="va", kind="veth", peer={"ifname": "vb"})
        for name in ("lo", "va", "vb"):
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
    time.sleep(0.1)


def _publisher(data_set: DataSet[Any], authentic: bool, vlan: tuple[int, int] | None) -> tuple[Any, Publisher[Any]]:
    link = open_link(L2("va"))
    key = KEY if authentic else None
    return link, Publisher(stream(data_set, vlan=vlan), data_set, key, source=link.address)


def libiec61850_hears_goose(authentic: str, vlan: str) -> dict[str, Any]:
    """Our report at libiec61850's subscriber."""
    import pyiec61850.pyiec61850 as lib

    data_set = report_data_set(12, 12)
    link, publisher = _publisher(data_set, authentic == "authentic", (5, 6) if vlan == "tagged" else None)
    receiver = lib.GooseReceiver_create()
    lib.GooseReceiver_setInterfaceId(receiver, "vb")
    subscriber = lib.GooseSubscriber_create(publisher.stream.gocb_ref, None)
    lib.GooseSubscriber_setAppId(subscriber, publisher.stream.appid)
    lib.GooseReceiver_addSubscriber(receiver, subscriber)
    if lib.GooseReceiver_startThreadless(receiver) is None:
        raise OSError("libiec61850 cannot listen")
    heard = []
    # Small numbers first: the subscriber sizes its values by the first frame.
    for report in (REPORT._replace(start_us=1, claim_number=1, peak_a=0.0), REPORT):
        link.send(publisher.publish(report, now()))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            lib.GooseReceiver_tick(receiver)
            if lib.GooseSubscriber_getStNum(subscriber) == publisher.st_num:
                break
            time.sleep(0.002)
        values = lib.GooseSubscriber_getDataSetValues(subscriber)
        heard.append(
            {
                "valid": lib.GooseSubscriber_isValid(subscriber),
                "error": lib.GooseSubscriber_getParseError(subscriber),
                "st_num": lib.GooseSubscriber_getStNum(subscriber),
                "sq_num": lib.GooseSubscriber_getSqNum(subscriber),
                "ttl_ms": lib.GooseSubscriber_getTimeAllowedToLive(subscriber),
                "conf_rev": lib.GooseSubscriber_getConfRev(subscriber),
                "go_id": lib.GooseSubscriber_getGoId(subscriber),
                "dat_set": lib.GooseSubscriber_getDataSet(subscriber),
                "values": [_value(lib, lib.MmsValue_getElement(values, i)) for i in range(len(data_set.b_types))],
            }
        )
    lib.GooseReceiver_stopThreadless(receiver)
    lib.GooseReceiver_destroy(receiver)
    return {"heard": heard, "sent": list(data_set.to_values(REPORT)), "b_types": data_set.b_types}


def _value(lib: Any, value: Any) -> Any:
    kind = lib.MmsValue_getType(value)
    if kind == lib.MMS_BOOLEAN:
        return lib.MmsValue_getBoolean(value)
    if kind == lib.MMS_INTEGER:
        return lib.MmsValue_toInt64(value)
    if kind == lib.MMS_FLOAT:
        return lib.MmsValue_toFloat(value)
    if kind == lib.MMS_BIT_STRING:
        return lib.MmsValue_getBitStringAsIntegerBigEndian(value)
    return f"type {kind}"


def we_hear_libiec61850_goose(vlan: str) -> dict[str, Any]:
    """A breaker's status from libiec61850's publisher, at our subscriber (nothing is authenticated there)."""
    import pyiec61850.pyiec61850 as lib

    data_set = status_data_set()
    made = stream(data_set)
    endpoint = Endpoint(open_link(L2("vb", (made.mac,))), (), (Subscriber(made, data_set, None),))
    parameters = lib.CommParameters()
    parameters.appId, parameters.vlanId, parameters.vlanPriority = made.appid, 5, 6
    lib.CommParameters_setDstAddress(parameters, *made.destination)
    publisher = lib.GoosePublisher_createEx(parameters, "va", vlan == "tagged")
    lib.GoosePublisher_setGoCbRef(publisher, made.gocb_ref)
    lib.GoosePublisher_setDataSetRef(publisher, made.dat_set)
    lib.GoosePublisher_setGoID(publisher, made.go_id)
    lib.GoosePublisher_setConfRev(publisher, made.conf_rev)
    lib.GoosePublisher_setTimeAllowedToLive(publisher, 500)
    results = []
    for status in (STATUS, STATUS._replace(operations=70_000, local=False)):
        values = lib.LinkedList_create()
        kept = []
        for b_type, raw in zip(data_set.b_types, data_set.to_values(status), strict=True):
            if b_type == "BOOLEAN":
                value = lib.MmsValue_newBoolean(bool(raw))
            elif b_type == "Dbpos":
                value = lib.MmsValue_newBitString(2)
                lib.MmsValue_setBitStringFromIntegerBigEndian(value, int(raw))
            else:
                value = lib.MmsValue_newIntegerFromInt32(int(raw))
            kept.append(value)
            lib.LinkedList_add(values, value)
        lib.GoosePublisher_increaseStNum(publisher)
        for _ in range(2):
            lib.GoosePublisher_publish(publisher, values)
        time.sleep(0.1)
        results.append([(heard.result.new, heard.result.message == status) for heard in endpoint.receive()])
    lib.GoosePublisher_destroy(publisher)
    return {"results": results, "counters": endpoint.counters()}


def open61850_hears_goose() -> dict[str, Any]:
    """Our frame at open61850's capture and strict decoder."""
    from open61850.capture import PacketCapture
    from open61850.goose import decode_goose_frame

    data_set = report_data_set(12, 12)
    link, publisher = _publisher(data_set, False, (5, 6))
    with PacketCapture("vb", (0x88B8,)) as capture:
        link.send(publisher.publish(REPORT, now()))
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            captured = capture.recv()
            decoded = None if captured is None else decode_goose_frame(captured.data, strict=False)
            if decoded is not None:
                pdu = decoded[1]
                return {
                    "gocb_ref": pdu.gocb_ref,
                    "st_num": pdu.st_num,
                    "conf_rev": pdu.conf_rev,
                    "values": [_plain(value.value) for value in pdu.all_data],
                    "sent": list(data_set.to_values(REPORT)),
                }
            time.sleep(0.005)
    return {}


def _plain(value: Any) -> Any:
    return value[0] >> 6 if isinstance(value, bytes) else value


def we_hear_open61850_goose() -> dict[str, Any]:
    """open61850's publisher (integers of minimal width) at our subscriber."""
    from open61850.data import BitStringData, BoolData, IntData
    from open61850.goose_publisher import GooseControl, GoosePublisher

    data_set = status_data_set()
    made = stream(data_set)
    endpoint = Endpoint(open_link(L2("vb", (made.mac,))), (), (Subscriber(made, data_set, None),))

    def values(status: Any) -> list[Any]:
        listed: list[Any] = []
        for b_type, raw in zip(data_set.b_types, data_set.to_values(status), strict=True):
            if b_type == "Dbpos":
                listed.append(BitStringData(bytes((int(raw) << 6,)), 6))
            else:
                listed.append(BoolData(bool(raw)) if b_type == "BOOLEAN" else IntData(int(raw)))
        return listed

    other = STATUS._replace(operations=70_000)
    control = GooseControl(
        made.gocb_ref,
        made.dat_set,
        made.appid,
        made.mac.replace("-", ":").lower(),
        "02:00:00:00:00:01",
        go_id=made.go_id,
        conf_rev=made.conf_rev,
        vlan_id=5,
        vlan_priority=4,
    )
    results = []
    with GoosePublisher("va", control, values(STATUS)) as publisher:
        publisher.start()
        time.sleep(0.15)
        results.append([(heard.result.new, heard.result.message == STATUS) for heard in endpoint.receive()])
        publisher.publish(values(other))
        time.sleep(0.15)
        results.append([(heard.result.new, heard.result.message == other) for heard in endpoint.receive()])
    return {"results": results, "counters": endpoint.counters()}


def _asdu(count: int) -> sv.Asdu:
    channels = tuple((1000 * k - count, 0x800 if k == 3 else 0) for k in range(8))
    return sv.Asdu("F1_MU01", count, 1, 2, sv.pack_channels(channels))


def libiec61850_hears_sv(authentic: str) -> dict[str, Any]:
    """Our samples at libiec61850's subscriber."""
    import pyiec61850.pyiec61850 as lib

    heard: list[dict[str, Any]] = []

    class Handler(lib.SVHandler):  # type: ignore[misc]
        def __init__(self) -> None:
            lib.SVHandler.__init__(self)

        def trigger(self) -> None:
            try:
                asdu = self._libiec61850_sv_asdu
                heard.append(
                    {
                        "sv_id": lib.SVSubscriber_ASDU_getSvId(asdu),
                        "smp_cnt": lib.SVSubscriber_ASDU_getSmpCnt(asdu),
                        "conf_rev": lib.SVSubscriber_ASDU_getConfRev(asdu),
                        "values": [lib.SVSubscriber_ASDU_getINT32(asdu, 8 * k) for k in range(8)],
                        "qualities": [lib.SVSubscriber_ASDU_getINT32(asdu, 8 * k + 4) for k in range(8)],
                    }
                )
            except Exception as error:
                heard.append({"error": repr(error)})

    receiver = lib.SVReceiver_create()
    lib.SVReceiver_setInterfaceId(receiver, "vb")
    subscriber = lib.SVSubscriber_create(None, SV_APPID)
    handler = Handler()
    glue = lib.SVSubscriberForPython()
    glue.setLibiec61850SVSubscriber(subscriber)
    glue.setEventHandler(handler)
    handler.thisown = 0
    glue.subscribe()
    lib.SVReceiver_addSubscriber(receiver, subscriber)
    lib.SVReceiver_start(receiver)
    time.sleep(0.1)
    seal = sealer(SV_APPID, KEY if authentic == "authentic" else None, mac=SV_MAC, vlan=(3, 4))
    link = open_link(L2("va"))
    sent = []
    for count in (3998, 3999, 0):
        asdu = _asdu(count)
        sent.append({"smp_cnt": count, "values": [value for value, _ in asdu.channels]})
        # The binding calls back from a thread of its own, late, with a pointer into its newest frame: one at a time.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (not heard or heard[-1].get("smp_cnt") != count):
            link.send(seal(sv.encode(sv.Pdu((asdu,)))))
            time.sleep(0.1)
    lib.SVReceiver_stop(receiver)
    return {"heard": heard, "sent": sent}


def we_hear_libiec61850_sv() -> dict[str, Any]:
    """libiec61850's samples at our codec."""
    import pyiec61850.pyiec61850 as lib

    link = open_link(L2("vb", (SV_MAC,), 0x88BA))
    parameters = lib.CommParameters()
    parameters.appId, parameters.vlanId, parameters.vlanPriority = SV_APPID, 0, 4
    lib.CommParameters_setDstAddress(parameters, *mac_octets(SV_MAC))
    publisher = lib.SVPublisher_create(parameters, "va")
    names = ["unit0", "unit1"]  # the library keeps pointers into them
    asdus = [lib.SVPublisher_addASDU(publisher, name, None, 5) for name in names]
    places = [[lib.SVPublisher_ASDU_addINT32(asdu) for _ in range(16)] for asdu in asdus]
    for asdu in asdus:
        lib.SVPublisher_ASDU_enableRefrTm(asdu)
        lib.SVPublisher_ASDU_setSmpRate(asdu, 4800)
        lib.SVPublisher_ASDU_setSmpMod(asdu, 1)
    lib.SVPublisher_setupComplete(publisher)
    for number, asdu in enumerate(asdus):
        for k, place in enumerate(places[number]):
            lib.SVPublisher_ASDU_setINT32(asdu, place, -k * (number + 1))
        lib.SVPublisher_ASDU_setSmpCnt(asdu, 40 + number)
        lib.SVPublisher_ASDU_setSmpSynch(asdu, 2)
        lib.SVPublisher_ASDU_setRefrTm(asdu, 1_800_000_000_250)
    lib.SVPublisher_publish(publisher)
    time.sleep(0.1)
    opened = [open_payload(item.payload) for item in link.receive()]
    lib.SVPublisher_destroy(publisher)
    assert len(opened) == 1
    return {
        "appid": opened[0].appid,
        "asdus": [
            [
                *(a.sv_id, a.smp_cnt, a.conf_rev, a.smp_synch, a.smp_rate, a.smp_mod),
                a.refr_tm and a.refr_tm.microseconds,
                struct.unpack(">16i", a.data),
            ]
            for a in opened[0].pdu.asdus
        ],
    }


def endpoints(transport: str) -> dict[str, Any]:
    """Ours to ours over a link, with foreign frames on the same wire, retransmission by timer, and silence."""
    data_set = report_data_set(12, 12)
    made = stream(data_set, routed=transport == "udp")
    other = Stream(**{name: getattr(made, name) for name in made.__slots__} | {"mac": "01-0C-CD-01-00-99", "appid": 9})
    if transport == "udp":
        here, there = open_link(Udp((), 102)), open_link(Udp((made.group,), 102))
    else:
        here, there = open_link(L2("va")), open_link(L2("vb", (made.mac,)))
    publisher = Publisher(made, data_set, KEY, source=here.address or bytes(6), intervals_ms=(4, 16, 40))
    foreign = Publisher(other, data_set, KEY, source=here.address or bytes(6))
    sender, receiver = Endpoint(here, (publisher,)), Endpoint(there, (), (Subscriber(made, data_set, (KEY,)),))
    latencies, seen = [], []
    for number in range(50):
        report = REPORT._replace(claim_number=number)
        here.send(foreign.publish(report, now()), other.group)
        if transport == "l2":
            here.send(bytes(60))
        start = now()
        sender.publish(publisher, report, start)
        until = start + 200_000
        while now() < until:
            heard = receiver.receive()
            if heard:
                latencies.append(heard[0].t_us - start)
                seen += [item.result.message.claim_number for item in heard]
                break
    # Repetitions by the timer, in a thread of its own; then silence.
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            sender.timer(now())
            time.sleep(0.001)

    thread = threading.Thread(target=repeat)
    thread.start()
    time.sleep(0.12)
    stop.set()
    thread.join()
    time.sleep(0.01)
    repeated = [item.result.new for item in receiver.receive()]
    deadline = receiver.deadline
    assert deadline is not None
    silent = [item.result.last_us for item in receiver.timer(deadline)]
    return {
        "seen": seen,
        "median_us": sorted(latencies)[len(latencies) // 2],
        "repeated": repeated,
        "silent": len(silent),
        "counters": receiver.counters(),
        "numbers": sender.numbers(),
    }


def scapy_hostile() -> dict[str, Any]:
    """Frames that scapy mangles: fuzzed headers, odd lengths, double tags, jumbo; the subscriber goes on working."""
    import random

    from scapy.all import Dot1Q, Ether, Raw, raw

    data_set = report_data_set(12, 12)
    made = stream(data_set)
    link, publisher = _publisher(data_set, True, None)
    endpoint = Endpoint(open_link(L2("vb", (made.mac,))), (), (Subscriber(made, data_set, (KEY,)),))
    rng = random.Random(5)
    good = publisher.publish(REPORT, now())
    sent = 0
    accepted = []
    for _ in range(1500):
        octets = bytearray(good[14:])
        for _ in range(rng.randint(1, 5)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        body = bytes(octets[: rng.randint(0, len(octets))] if rng.random() < 0.4 else octets)
        frame: Any = Ether(dst=made.mac.replace("-", ":"), src="02:00:00:00:00:09", type=0x88B8)
        if rng.random() < 0.3:
            frame.type = 0x8100
            frame = frame / Dot1Q(vlan=rng.randrange(4096), prio=rng.randrange(8), type=0x88B8)
            if rng.random() < 0.3:
                frame[Dot1Q].type = 0x8100
                frame = frame / Dot1Q(vlan=1, type=0x88B8)
        if link.send(raw(frame / Raw(body))):
            sent += 1
        if sent % 40 == 0:
            accepted += endpoint.receive()
    accepted += endpoint.receive()
    # Only octets of the extension that no MAC covers may differ in what was accepted; then the content is the sent one.
    wrong = [item for item in accepted if item.result.message != REPORT._replace()]
    link.send(publisher.publish(REPORT._replace(claim_number=99), now()))
    time.sleep(0.05)
    last = [item.result.message.claim_number for item in endpoint.receive()]
    return {"sent": sent, "wrong": len(wrong), "last": last, "counters": endpoint.counters()}


def main(arguments: list[str]) -> None:
    """Run one case."""
    veth()
    case = globals()[arguments[0]]
    print(json.dumps(case(*arguments[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
