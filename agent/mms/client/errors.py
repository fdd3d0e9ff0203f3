"""What can go wrong between a client and a server; each text is one line that names the thing and the reason."""

from __future__ import annotations


class MmsError(Exception):
    """Any of them."""


class UnreachableError(MmsError):
    """No association came about: network, certificate or refusal."""


class LostError(MmsError):
    """The association ended. What was asked and not yet answered may have been done or not."""


class SilentError(MmsError):
    """No answer in time. What was asked may have been done or not."""


class ProtocolError(MmsError):
    """The server sent what cannot be understood."""


class RefusedError(MmsError):
    """The server answered no."""

    def __init__(self, what: str, reason: str, code: int = -1) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason
        """As ISO 9506-2 names it: ``object-non-existent``."""
        self.code = code
        """DataAccessError; -1 where it is another kind of refusal."""


class ReferenceNotFoundError(MmsError):
    """There is no such thing on the server, or its name cannot be read."""


class WrongTypeError(MmsError):
    """A value that cannot stand there."""


class ControlRefusedError(MmsError):
    """The server refused or gave up a command; the device may be between positions after a negative termination."""

    def __init__(self, reference: str, stage: str, reason: str, add_cause: str | None, code: int | None) -> None:
        super().__init__(f"{reference}: {stage} refused: {add_cause or reason}")
        self.stage = stage
        """``select``, ``operate``, ``termination`` or ``check`` (nothing was sent)."""
        self.reason = reason
        self.add_cause = add_cause
        """By its name in IEC 61850-7-2; None where the server gives none."""
        self.add_cause_code = code


class OutcomeUnknownError(MmsError):
    """A command was sent and its end was not heard: look at the device. It is never sent again."""
