"""``flisr goose publish``: a control block described on the command line, and its states in their order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from agent.goose.codec import CodecError, utc_time
from agent.goose.dataset import DataSet
from agent.goose.layout import FORMS, Raw
from agent.goose.link import Link
from agent.goose.outgoing import OutgoingError, appid_of, check_way, chosen, names_in, open_way, signing_keys
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from scl.flisr_dataset import Member

POSITIONS = {"intermediate": 0, "off": 1, "on": 2, "bad": 3}
TRUTH = {"true": 1, "false": 0, "1": 1, "0": 0}


class Hand(NamedTuple):
    """A publisher, its link, and what to publish."""

    link: Link
    publisher: Publisher[tuple[Raw, ...]]
    states: list[tuple[Raw, ...]]


class _AsTheyAre:
    """Raw values are the message."""

    def to_values(self, message: tuple[Raw, ...]) -> tuple[Raw, ...]:
        return message

    def from_values(self, values: Any) -> tuple[Raw, ...]:
        return tuple(values)


def states_of(texts: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[Raw, ...]]]:
    """Basic types, and the states: ``INT32:1,2`` has two, a member with fewer values keeps its last one."""
    types: list[str] = []
    columns: list[list[Raw]] = []
    for text in texts:
        name, colon, rest = text.partition(":")
        if not colon or name not in FORMS:
            raise OutgoingError(f"--value {text}: a type of {', '.join(FORMS)}, a colon and a value are needed")
        types.append(name)
        columns.append([_raw(name, word.strip()) for word in rest.split(",")])
    states: list[tuple[Raw, ...]] = []
    last: list[Raw] = [column[0] for column in columns]
    for row in zip_longest(*columns):
        last = [old if new is None else new for old, new in zip(last, row, strict=True)]
        states.append(tuple(last))
    return tuple(types), states


def _raw(name: str, word: str) -> Raw:
    try:
        if name == "BOOLEAN":
            return TRUTH[word.lower()]
        if name == "Dbpos":
            return POSITIONS[word.lower()]
        if name.startswith("FLOAT"):
            return float(word)
        if name == "Timestamp":
            t = utc_time(time.time_ns() // 1000) if word == "now" else utc_time(int(word))
            return t.seconds << 32 | t.fraction << 8 | t.quality
        return int(word, 0)
    except (ValueError, KeyError):
        raise OutgoingError(f"{word!r} is no value of the type {name}") from None


def prepare(options: Mapping[str, Any]) -> Hand:
    """From the options of the command; OutgoingError says which does not fit, OSError what the system refused."""
    check_way(options)
    types, states = states_of(options["values"])
    stream = _stream(options, types)
    keys = signing_keys(options)
    link = open_way(options)
    try:
        members = tuple(Member(str(number), "", "", "", "", "", "", "", name) for number, name in enumerate(types))
        data_set = DataSet("by hand", members, _AsTheyAre())
        publisher = Publisher(stream, data_set, keys, source=link.address or bytes(6), simulation=options["simulation"])
        for state in states:  # what does not fit its type is said before anything is sent
            Publisher(stream, data_set, keys, source=bytes(6)).publish(state, 1)
    except CodecError as error:
        link.close()
        raise OutgoingError(str(error)) from error
    return Hand(link, publisher, states)


def _stream(options: Mapping[str, Any], types: tuple[str, ...]) -> Stream:
    if options["scd"] is not None:
        return _from_scd(options, types)
    reference = options["gocb_ref"]
    if not reference:
        raise OutgoingError("give --scd and --control, or --gocb-ref")
    vlan = None
    if options["vlan"]:
        identifier, _, priority = options["vlan"].partition(":")
        try:
            vlan = (int(identifier), int(priority or 4))
        except ValueError:
            raise OutgoingError(f"--vlan {options['vlan']!r} is not ID:PRIORITY") from None
    return Stream(
        reference, options["dat_set"] or reference.replace("$GO", ""), options["go_id"] or reference, appid_of(options),
        options["conf_rev"], types, mac=options["mac"], vlan=vlan, group=options["group"], port=options["port"],
    )  # fmt: skip


def _from_scd(options: Mapping[str, Any], types: tuple[str, ...]) -> Stream:
    control = chosen(names_in(options["scd"]).goose, options["control"], "--control", "GOOSE control block")
    if len(control.members) != len(types):
        raise OutgoingError(
            f"{control.cb_ref} has {len(control.members)} members, --value was given {len(types)} times"
        )
    return Stream(
        control.cb_ref, control.dat_set, control.go_id, control.appid, control.conf_rev, types, mac=control.mac,
        vlan=(control.vlan_id, control.vlan_priority), min_ms=control.min_time_ms, max_ms=control.max_time_ms,
        group=options["group"], port=options["port"],
    )  # fmt: skip


def run(hand: Hand, seconds: float, every: float) -> dict[str, Any]:
    """Publish the states one after the other, with their retransmissions, for so long."""
    link, publisher, states = hand
    frames = unsent = published = 0
    began = time.monotonic()
    try:
        while (passed := time.monotonic() - began) <= seconds:
            now = time.time_ns() // 1000
            payload: bytes | None
            if published < len(states) and passed >= published * every:
                payload = publisher.publish(states[published], now)
                published += 1
            else:
                payload = publisher.timer(now)
            if payload is not None:
                frames += 1
                unsent += not link.send(payload, publisher.stream.group)
            due = (publisher.deadline or now) - time.time_ns() // 1000
            upcoming = began + published * every - time.monotonic() if published < len(states) else seconds
            time.sleep(max(0.0, min(due / 1e6, upcoming, began + seconds - time.monotonic())))
    except KeyboardInterrupt:
        pass
    finally:
        link.close()
    return {
        "gocb_ref": publisher.stream.gocb_ref, "states": published, "frames": frames, "unsent": unsent,
        "st_num": publisher.st_num, "sq_num": publisher.sq_num,
    }  # fmt: skip
