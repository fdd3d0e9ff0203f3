"""An MMS client that wants to close a device, built on open61850 (not on our code or the server's library).

    python -m simulator.demo.mms_client ADDRESS PORT LD/CSWI1.Pos

Reads the position, then selects with value and operates to close. Prints one JSON object: ``accepted``, and where it
was refused at which stage and with which AddCause (IEC 61850-7-2).
"""

from __future__ import annotations

import json
import sys
from typing import Any


def ask(address: str, port: int, reference: str) -> dict[str, Any]:
    """One attempt; everything that goes wrong is part of the answer."""
    from open61850.mms.client import MmsClient
    from open61850.mms.control import ControlError, operate

    try:
        client = MmsClient.connect(address, port, timeout=5.0)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    try:
        done = operate(client, reference, True)
        return {"accepted": True, "text": str(done)}
    except ControlError as error:
        told = getattr(error, "last_appl_error", None)
        cause = getattr(told, "add_cause", None)
        return {"accepted": False, "stage": getattr(error, "stage", ""), "add_cause": cause, "text": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        client.close()


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
