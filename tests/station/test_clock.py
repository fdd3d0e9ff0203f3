from __future__ import annotations

import select

from agent.station.realtime import Timer
from agent.time.clock import STEADY_US, TimeSource, TimeWatch, kernel_state, now_us


def test_a_step_makes_the_time_bad_until_it_has_been_steady() -> None:
    watch = TimeWatch(TimeSource.TRUSTED)
    assert watch.check(1_000_000_000, 5_000_000).good
    assert watch.check(1_001_000_000, 6_000_000).good
    stepped = watch.check(1_002_500_000, 7_000_000)
    assert not stepped.good
    assert "stepped" in stepped.why
    assert not watch.check(1_003_500_000, 8_000_000).good
    later = 7_000_000 + STEADY_US
    assert watch.check(995_500_000 + later, later).good


def test_the_kernel_answers_with_a_reason() -> None:
    state = kernel_state()
    assert state.why
    assert state.good == (state.why == "synchronized")


def test_timer_fires_at_the_deadline_and_at_once_for_the_past() -> None:
    timer = Timer()
    poll = select.epoll()
    poll.register(timer.fileno(), select.EPOLLIN)
    deadline = now_us() + 20_300
    timer.arm(deadline)
    assert poll.poll(5)
    assert deadline <= now_us() < deadline + 1_000_000
    timer.acknowledge()
    assert not poll.poll(0)
    timer.arm(now_us() - 5_000_000)
    assert poll.poll(1)
    timer.acknowledge()
    timer.arm(now_us() + 30_000)
    timer.arm(None)
    assert not poll.poll(0.06)
    timer.close()
