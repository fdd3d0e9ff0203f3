"""What makes a Python process answer in time: real-time priority, locked memory, no garbage collection, exact timers.

Each is asked for and may be refused (an ordinary user, a container); :func:`prepare` says plainly what was refused.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

MCL_CURRENT = 1
MCL_FUTURE = 2
CLOCK_REALTIME = 0
TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2
SWITCH_INTERVAL_S = 0.0005

_libc = ctypes.CDLL(None, use_errno=True)


def prepare(priority: int) -> list[str]:
    """Become a real-time process as far as allowed; the returned sentences say what was not.

    SCHED_FIFO at ``priority`` (0: do not ask); all memory locked; garbage collection frozen and off: the loop makes no
    reference cycles, and a collection costs milliseconds.
    """
    refused: list[str] = []
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError as error:
            why = f"real-time priority {priority} not allowed ({error.strerror})"
            refused.append(f"{why}: answers may be late under load")
    if _libc.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        reason = os.strerror(ctypes.get_errno())
        refused.append(f"locking memory not allowed ({reason}): a page fault may delay an answer")
    return refused


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Timer:
    """A timerfd on CLOCK_REALTIME with an absolute deadline: epoll's own timeout is rounded to whole milliseconds.

    It also fires (once, early) when the clock is stepped, so that no deadline waits for a time that was moved away.
    """

    def __init__(self) -> None:
        self._fd = int(_libc.timerfd_create(CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._armed: int | None = None

    def fileno(self) -> int:
        """The descriptor that becomes readable at the deadline."""
        return self._fd

    def arm(self, deadline_us: int | None) -> None:
        """Fire at ``deadline_us`` (UTC microseconds; at once if past); None: never. Doing it twice is free."""
        if deadline_us == self._armed:
            return
        self._armed = deadline_us
        value = self._spec.it_value
        if deadline_us is None:
            value.tv_sec = value.tv_nsec = 0
        else:
            seconds, micros = divmod(max(deadline_us, 1), 1_000_000)
            value.tv_sec, value.tv_nsec = seconds, micros * 1000
        flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
        if _libc.timerfd_settime(self._fd, flags, self._pointer, None) != 0 and ctypes.get_errno():
            # ECANCELED: the clock was stepped meanwhile; the timer is armed nevertheless.
            _libc.timerfd_settime(self._fd, flags, self._pointer, None)

    def acknowledge(self) -> None:
        """Take the expiry off the descriptor."""
        self._armed = None
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            pass
        except OSError:
            # ECANCELED: the clock was stepped; the caller looks at its deadlines anyway.
            pass

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
