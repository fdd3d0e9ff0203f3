"""What stands behind the services of the MMS server that are not control: settings, files, logs."""

from __future__ import annotations

from typing import NamedTuple

from agent.mms.files import Files
from agent.mms.journal import Journal
from agent.mms.settings import Store


class Services(NamedTuple):
    """What is None is refused by the server."""

    settings: Store | None = None
    files: Files | None = None
    journal: Journal | None = None

    def close(self) -> None:
        """After the server."""
        for part in (self.files, self.journal):
            if part is not None:
                part.close()


NO_SERVICES = Services()
