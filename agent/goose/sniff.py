"""``flisr goose sniff``: frames to observations, one line each, and a table at the end. Sends nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from agent.goose import frame, session
from agent.goose.codec import CodecError, Pdu, decode
from agent.goose.monitor import Monitor, Observation
from agent.goose.tap import Packet, payload_of
from agent.goose.text import moment, plain, time_text, value_text
from agent.security.frames import TRAILING, FrameError, Profile, parse_extension
from agent.security.ring import KeyGroup
from scl.names import NOTHING, Names


class Seen(NamedTuple):
    """One GOOSE frame that decodes."""

    t_us: int
    appid: int
    routed: bool
    simulation: bool
    """Marked in the header; in the PDU it is ``pdu.simulation``."""
    vlan: tuple[int, int] | None
    pdu: Pdu
    authentic: str
    """``yes``, ``no: why``, ``not asked`` (no keys given), ``none`` (no authentication on it)."""
    observation: Observation


class Sniffer:
    """See the module. ``keys``: to verify with; None: not asked for."""

    def __init__(self, names: Names = NOTHING, keys: KeyGroup | None = None, profile: Profile = TRAILING) -> None:
        self.names = names
        self.monitor = Monitor()
        self.counters: Counter[str] = Counter()
        """Frames that are no GOOSE PDU, by cause."""
        self.authentic: dict[tuple[str, int], Counter[str]] = {}
        self._keys = keys
        self._profile = profile

    def take(self, packet: Packet, link_type: int) -> Seen | None:
        """None: not GOOSE, or not well-formed (counted)."""
        payload = payload_of(packet.frame, link_type)
        if payload is None or payload.sampled:
            return None
        try:
            if payload.routed:
                datagram = session.parse(payload.octets, keys=None if self._keys is None else self._keys.find)
                pdu = decode(datagram.apdu)
                appid, simulation, vlan = datagram.appid, datagram.simulation, None
                opened = datagram.opened  # it was encrypted: that it could be read says who wrote it
                authentic = "yes" if opened else self._verdict(datagram.key, datagram.domain, datagram.mac, datagram.iv)
            else:
                view = frame.parse(payload.octets, profile=self._profile)
                pdu = decode(view.apdu)
                appid, simulation, vlan = view.appid, view.simulation, view.vlan
                authentic = self._layer2(view)
        except (CodecError, FrameError) as error:
            self.counters[error.cause] += 1
            return None
        seen = self.monitor.observe(pdu, appid, packet.t_us, payload.routed)
        self.authentic.setdefault((pdu.gocb_ref, appid), Counter())[authentic] += 1
        return Seen(packet.t_us, appid, payload.routed, simulation, vlan, pdu, authentic, seen)

    def _layer2(self, view: frame.Frame) -> str:
        if not view.extension:
            return "none"
        try:
            extension = parse_extension(view.extension, self._profile)
        except FrameError as error:
            return f"no: {error}"
        return self._verdict(extension.key, view.domain, extension.mac, extension.iv)

    def _verdict(self, identifier: int, domain: bytes, mac: bytes, iv: bytes) -> str:
        if not mac:
            return "none"
        if self._keys is None:
            return "not asked"
        try:
            key = self._keys.find(identifier)
        except FrameError as error:
            return f"no: {error}"
        return "yes" if key.verifies(domain, mac, iv) else "no: wrong MAC"

    def line(self, seen: Seen) -> str:
        """One line of text."""
        pdu, observation = seen.pdu, seen.observation
        words = ", ".join(observation.words) + (f" {observation.missed}" if observation.missed else "")
        marks = [
            name for name, on in (("simulation", seen.simulation or pdu.simulation), ("ndsCom", pdu.nds_com)) if on
        ]
        if seen.authentic not in ("yes", "not asked"):
            marks.append("not authenticated" if seen.authentic == "none" else f"not authentic ({seen.authentic[4:]})")
        text = f"{moment(seen.t_us)[11:-1]}  {pdu.gocb_ref}  st {pdu.st_num} sq {pdu.sq_num}  {words}"
        if marks:
            text += f"  [{', '.join(marks)}]"
        if observation.changed:
            members = self.names.members(pdu.gocb_ref, len(pdu.data))
            text += "  " + " ".join(f"{members[i]}={value_text(pdu.data[i])}" for i in observation.changed)
        return text

    def plain(self, seen: Seen) -> dict[str, Any]:
        """The same for JSON."""
        pdu = seen.pdu
        members = self.names.members(pdu.gocb_ref, len(pdu.data))
        return {
            "t": moment(seen.t_us), "gocb_ref": pdu.gocb_ref, "appid": seen.appid, "st_num": pdu.st_num,
            "sq_num": pdu.sq_num, "event_t": moment(pdu.t.microseconds), "words": list(seen.observation.words),
            "missed": seen.observation.missed, "authentic": seen.authentic,
            "simulation": seen.simulation or pdu.simulation,
            "changed": {members[i]: plain(pdu.data[i]) for i in seen.observation.changed},
        }  # fmt: skip

    def streams(self) -> list[dict[str, Any]]:
        """What each stream came to."""
        rows = []
        for (reference, appid), track in sorted(self.monitor.tracks.items()):
            pdu = track.pdu
            control = self.names.goose.get(reference)
            rows.append({
                "gocb_ref": reference, "appid": appid, "ied": control.ied if control else None,
                "known": control is not None, "routed": track.routed, "dat_set": pdu.dat_set, "go_id": pdu.go_id,
                "conf_rev": pdu.conf_rev, "conf_rev_expected": control.conf_rev if control else None,
                "time_allowed_to_live_ms": pdu.ttl_ms, "st_num": pdu.st_num, "sq_num": pdu.sq_num,
                "t": time_text(pdu.t), "frames": track.frames, "longest_pause_ms": track.gap_us / 1000,
                "counters": dict(track.counters), "authentic": dict(self.authentic[reference, appid]),
                "values": dict(zip(self.names.members(reference, len(pdu.data)), map(plain, pdu.data), strict=True)),
            })  # fmt: skip
        return rows
