"""Short words for what a tester asks through open61850's client, and for the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from open61850.mms import control
from open61850.mms.client import MmsClient
from open61850.mms.control import ControlError
from open61850.mms.errors import DataAccessError, MmsReject, ServiceError
from open61850.mms.pdu import InformationReport, ObjectName
from open61850.mms.rcb import RcbError
from open61850.mms.report import Report, decode_report, is_report

from tests.conformance.device import Device

DOMAIN, VARIABLE, DATA_SET, JOURNAL = 9, 0, 2, 8
"""Object classes of GetNameList."""
UNAVAILABLE, DENIED, INCONSISTENT, MISSING, INVALID = 2, 3, 7, 10, 11
"""DataAccessError."""
POSITION, AUTOMATION = "CSWI1$CO$Pos", "GGIO1$CO$SPCSO1"


def name(device: Device, item: str) -> ObjectName:
    """An object of the device."""
    return ObjectName(item, device.domain)


def refused(call: Callable[[], Any]) -> tuple[str, int]:
    """How and with which code a call is refused; AssertionError if it is not."""
    try:
        got = call()
    except RcbError as error:
        return "access", error.cause.code
    except DataAccessError as error:
        return "access", error.code
    except ServiceError as error:
        return "service", error.code
    except MmsReject as error:
        return "reject", error.code
    except ControlError as error:
        return error.stage, -1 if error.last_appl_error is None else error.last_appl_error.add_cause
    raise AssertionError(f"not refused: {got!r}")


def names(client: MmsClient, device: Device, part: str) -> list[str]:
    """Control blocks of the device with this functional constraint, as ``LLN0$BR$name``."""
    found = {"$".join(item.split("$")[:3]) for item in client.get_name_list(VARIABLE, device.domain)}
    return sorted(item for item in found if item.split("$")[1:2] == [part] and item.count("$") == 2)


def operate(client: MmsClient, device: Device, item: str, value: bool, **how: Any) -> Any:
    """One order, as the model of the object wants it."""
    return control.operate(client, name(device, item), value, **how)


class Heard:
    """Reports that a client gets."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.arrived: list[float] = []
        self._changed = threading.Condition()

    def take(self, message: InformationReport) -> None:
        if is_report(message):
            with self._changed:
                self.reports.append(decode_report(message))
                self.arrived.append(time.monotonic())
                self._changed.notify_all()

    def wait(self, wanted: Callable[[Report], bool] = lambda _: True, since: int = 0, seconds: float = 20.0) -> Report:
        """The first report after ``since`` that is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: any(map(wanted, self.reports[since:])), seconds)
            return next(report for report in self.reports[since:] if wanted(report))

    def count(self) -> int:
        with self._changed:
            return len(self.reports)


@contextmanager
def hearing(client: MmsClient) -> Iterator[Heard]:
    """Reports of a client while this lasts."""
    heard = Heard()
    client.add_report_listener(heard.take)
    try:
        yield heard
    finally:
        client.remove_report_listener(heard.take)
