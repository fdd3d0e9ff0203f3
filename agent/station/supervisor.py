"""Keeps the protection process running: starts it, finds it again, restarts it with growing pauses after a crash.

The protection process is a session of its own with its own lock file: it runs on when the station process dies. A new
station process first looks for a living one (``protection.sock``); if that runs the same configuration it is attached
to, otherwise the start is refused, or it is replaced where the caller said so. Secrets go to the child through an
anonymous memory file, never through arguments, environment or disk.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.station import channel
from agent.station.shared import Segment, SharedMemoryError

MODULE = "agent.station.protection"
ERRORS = "protection.err"
START_LIMIT_S = 60.0
BACKOFF_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
"""After running this long a crash counts as the first again."""


class OtherConfigurationError(Exception):
    """A protection process runs here with another configuration."""


class Attachment:
    """A living protection process: its channel, shared memory, doorbell, and a descriptor that tells of its end."""

    def __init__(self, link: socket.socket, segment: Segment, bell: int, pid: int) -> None:
        self.link = link
        self.segment = segment
        self.bell = bell
        self.pid = pid
        self.end = os.pidfd_open(pid)

    def alive(self) -> bool:
        """False once the process has ended."""
        ready, _, _ = select.select([self.end], [], [], 0)
        return not ready

    def close(self) -> None:
        """Let go of it; it runs on."""
        self.link.close()
        self.segment.close()
        os.close(self.bell)
        os.close(self.end)


def attach(directory: Path, digest: str, timeout_s: float = 2.0) -> Attachment | None:
    """Connect to a running protection process; None if there is none, OtherConfigurationError if it is not ours."""
    try:
        link = channel.connect(directory / channel.NAME)
    except OSError:
        return None
    link.settimeout(timeout_s)
    try:
        hello, descriptors = channel.receive_with_descriptors(link, 2)
    except TimeoutError:
        hello, descriptors = None, []
    if hello is None or len(descriptors) != 2:
        for descriptor in descriptors:
            os.close(descriptor)
        link.close()
        return None
    try:
        if hello.get("digest") != digest:
            raise OtherConfigurationError(f"protection process {hello.get('pid')} runs with another configuration")
        segment = Segment.attach(descriptors[0])
        attachment = Attachment(link, segment, descriptors[1], int(hello["pid"]))
    except SharedMemoryError as error:
        raise OtherConfigurationError(f"protection process {hello.get('pid')}: {error}") from error
    except ProcessLookupError:
        link.close()
        return None
    link.setblocking(False)
    return attachment


def stop_running(directory: Path, timeout_s: float = 5.0) -> bool:
    """Ask a running protection process, whatever its configuration, to end; True once none is left."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            link = channel.connect(directory / channel.NAME)
        except OSError:
            return True
        with link:
            channel.send(link, {"t": "stop"})
        time.sleep(0.02)
    return False


class Supervisor:
    """One agent's protection process. ``document`` makes the start document (configuration, latch) anew each time."""

    def __init__(
        self, directory: Path, digest: str, document: Callable[[], dict[str, Any]], module: str = MODULE
    ) -> None:
        self._module = module
        self._directory = directory
        self._digest = digest
        self._document = document
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._crashes = 0
        self.attachment: Attachment | None = None
        self.restarts = 0
        self.retry_at = 0.0
        """Monotonic time of the next start while none runs."""

    def attach_or_start(self) -> bool:
        """At start: True if a living protection process was found, False if one was started."""
        self.attachment = attach(self._directory, self._digest)
        if self.attachment is not None:
            self._started = time.monotonic()
            return True
        self.start()
        return False

    def start(self) -> None:
        """Start the process and wait until it says hello; OSError with its own words if it does not."""
        self._started = time.monotonic()
        memory = os.memfd_create("flisr-configuration", 0)
        try:
            with os.fdopen(os.dup(memory), "wb") as file:
                file.write(json.dumps(self._document(), separators=(",", ":")).encode())
            os.lseek(memory, 0, os.SEEK_SET)
            with (self._directory / ERRORS).open("ab") as errors:
                offset = errors.tell()
                self._child = subprocess.Popen(
                    [sys.executable, "-m", self._module, "--configuration", str(memory)],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=(memory,),
                    start_new_session=True,
                )
        finally:
            os.close(memory)
        while time.monotonic() < self._started + START_LIMIT_S:
            self.attachment = attach(self._directory, self._digest)
            if self.attachment is not None:
                return
            if self._child.poll() is not None:
                break
            time.sleep(0.005)
        raise OSError(errno.ECHILD, self._last_words(offset))

    def _last_words(self, offset: int) -> str:
        with (self._directory / ERRORS).open("rb") as file:
            file.seek(offset)
            text = file.read()[-2000:].decode(errors="replace").strip()
        return "the protection process did not start: " + (text.splitlines()[-1] if text else "it said nothing")

    def lost(self) -> float:
        """The process has ended: forget it, and return after how many seconds the next start is due."""
        self.release()
        if self._child is not None:
            self._child.poll()
        if time.monotonic() - self._started > STEADY_S:
            self._crashes = 0
        pause = BACKOFF_S[min(self._crashes, len(BACKOFF_S) - 1)]
        self._crashes += 1
        self.restarts += 1
        self.retry_at = time.monotonic() + pause
        return pause

    def release(self) -> None:
        """Let go of the process; if it lives, it runs on."""
        if self.attachment is not None:
            self.attachment.close()
            self.attachment = None

    def exit_status(self) -> int | None:
        """The status of a child that ended; None for one that was only attached to."""
        return None if self._child is None else self._child.poll()

    def stop(self, timeout_s: float = 3.0) -> None:
        """End the protection process: by order, then by signal."""
        attachment = self.attachment
        if attachment is None:
            return
        channel.send(attachment.link, {"t": "stop"})
        ready, _, _ = select.select([attachment.end], [], [], timeout_s)
        if not ready:
            signal.pidfd_send_signal(attachment.end, signal.SIGKILL)
            select.select([attachment.end], [], [], timeout_s)
        if self._child is not None:
            self._child.poll()
        attachment.close()
        self.attachment = None
