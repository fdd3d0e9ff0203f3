"""The client on linuxptp's management socket, against a stand-in that answers from a recording, or badly, or not."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from agent.time.client import NoAnswerError, read
from agent.time.clock import ASK_AGAIN_US, ASK_EVERY_US, PtpSettings, PtpWatch, SourceKind, TimeSource, TimeWatch
from agent.time.management import Id
from agent.time.ptp import Phase
from tests.time.recorded import ANSWERS, DOMAIN, INGRESS_NS, answer, recorded_reading, server

REALTIME = INGRESS_NS // 1000 + 300_000
QUESTIONS = len(ANSWERS)


def test_a_reading_is_what_was_recorded_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    with server(path) as questions:
        assert read(str(path), DOMAIN, 5.0) == recorded_reading()
        assert [entry.name for entry in tmp_path.iterdir()] == ["ptp4l"]
    assert [Id(struct.unpack_from(">H", question, 52)[0]) for question in questions] == list(ANSWERS)


def test_rubbish_and_answers_to_others_are_passed_over(tmp_path: Path) -> None:
    def noisy(question: bytes) -> list[bytes]:
        true = answer(question)[0]
        older = true[:30] + struct.pack(">H", 0) + true[32:]
        return [b"", b"\x00" * 60, true[:50], older, true]

    path = tmp_path / "ptp4l"
    with server(path, noisy):
        assert read(str(path), DOMAIN, 5.0) == recorded_reading()


def test_every_port_of_a_boundary_clock_answers(tmp_path: Path) -> None:
    ports = 14
    per_port = (Id.PORT_DATA_SET, Id.PORT_PROPERTIES_NP, Id.CLOCK_DESCRIPTION)

    def boundary(question: bytes) -> list[bytes]:
        octets = answer(question)[0]
        asked = struct.unpack_from(">H", question, 52)[0]
        if asked == Id.DEFAULT_DATA_SET:
            return [octets[:56] + struct.pack(">H", ports) + octets[58:]]
        if asked not in per_port:
            return [octets]
        # The number of the port stands behind its clock's identity, where it has one.
        states = [9 if port == 7 else 6 for port in range(1, ports + 1)]
        return [octets[:62] + struct.pack(">HB", port, state) + octets[65:] for port, state in enumerate(states, 1)]

    path = tmp_path / "ptp4l"
    with server(path, boundary):
        reading = read(str(path), DOMAIN, 5.0)
    assert [port.identity.port for port in reading.ports] == list(range(1, ports + 1))
    assert reading.slave is not None
    assert reading.slave.identity.port == 7
    assert len(reading.interfaces) == ports


@pytest.mark.parametrize("path", ["missing/ptp4l", "nobody"])
def test_where_nobody_listens_it_is_said_at_once(tmp_path: Path, path: str) -> None:
    with server(tmp_path / "nobody"):
        pass
    with pytest.raises(NoAnswerError, match=f"{path}: "):
        read(str(tmp_path / path), DOMAIN, 60.0)


def test_silence_costs_no_more_than_the_time_allowed(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    began = time.monotonic()
    with server(path), pytest.raises(NoAnswerError, match="does not answer DEFAULT_DATA_SET in domain 0"):
        read(str(path), 0, 0.2)
    assert 0.2 <= time.monotonic() - began < 5.0
    assert not list(tmp_path.iterdir())


def test_what_is_needed_and_refused_is_an_answer_too_few(tmp_path: Path) -> None:
    refusal = ANSWERS[Id.POWER_PROFILE_SETTINGS_NP]

    def without_status(question: bytes) -> list[bytes]:
        if struct.unpack_from(">H", question, 52)[0] != Id.TIME_STATUS_NP:
            return answer(question)
        octets = refusal[:30] + question[30:32] + refusal[32:]
        return [octets[:54] + struct.pack(">H", Id.TIME_STATUS_NP) + octets[56:]]

    path = tmp_path / "ptp4l"
    with server(path, without_status), pytest.raises(NoAnswerError, match="refuses TIME_STATUS_NP"):
        read(str(path), DOMAIN, 5.0)


def settings(path: Path, domain: int = DOMAIN, timeout_s: float = 5.0) -> PtpSettings:
    return PtpSettings(str(path), domain, timeout_s=timeout_s)


def test_the_watch_asks_twice_a_second_and_seldom_where_it_must_wait(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    with server(path) as questions:
        watch = PtpWatch(settings(path))
        for tick in range(9):
            assert watch.check(REALTIME + tick * 250_000, tick * 250_000).phase is Phase.LOCKED
        assert len(questions) == QUESTIONS * (8 * 250_000 // ASK_EVERY_US + 1)
        silent = PtpWatch(settings(path, domain=1, timeout_s=0.05))
        questions.clear()
        for tick in range(9):
            assert silent.check(REALTIME, tick * 250_000).phase is Phase.SILENT
        assert "domain 1" in silent.why_silent
    rounds = 8 * 250_000 // ASK_AGAIN_US + 1
    assert len(questions) == rounds * 5, "the clock's own data sets, then it gave up"


def test_the_agents_watch_follows_ptp_and_a_step_of_the_system_clock_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    with server(path):
        watch = TimeWatch(TimeSource(SourceKind.PTP, settings(path)))
        state = watch.check(REALTIME, 1_000_000)
        assert state.good
        assert state.quality.octet == 0x80 | 19
        state = watch.check(REALTIME + 252_000, 1_250_000)
        assert not state.good
        assert state.why == "the clock was stepped"
        assert state.quality.clock_failure
        assert state.quality.clock_not_synchronized


def test_without_ptp_the_agents_watch_asks_the_kernel(tmp_path: Path) -> None:
    state = TimeWatch(TimeSource(SourceKind.PTP, settings(tmp_path / "none"))).check(REALTIME, 1_000_000)
    assert state.source == "kernel"
    assert state.why.startswith("PTP does not answer; by the kernel: ")
