"""The keys of a server on disk: one file, mode 0600, written and synchronised before a key is handed out."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from agent.keyserver.authority import Authority, Chain, Made
from agent.security.frames import ALGORITHMS
from agent.station import durable

FORMAT = 1


class StoreError(ValueError):
    """The store cannot be read; the text says why, and never a secret."""


def save(path: Path, authority: Authority) -> None:
    """Replace the file as a whole; OSError if the disk refuses."""
    groups = {
        name: {"sequence": chain.sequence, "keys": [_plain(key) for key in chain.keys]}
        for name, chain in authority.chains.items()
    }
    durable.replace(path, durable.seal(FORMAT, groups))


def load(path: Path, authority: Authority) -> bool:
    """Fill the authority's chains; False: there is no file yet. Groups that the policy no longer has are left out."""
    try:
        mode, octets = path.stat().st_mode & 0o777, path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise StoreError(f"{path}: mode {mode:04o} lets others read the keys; expected 0600")
    try:
        for name, group in durable.unseal(FORMAT, octets).items():
            if name in authority.chains:
                authority.chains[name] = Chain([_made(key) for key in group["keys"]], int(group["sequence"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise StoreError(f"{path}: damaged, or not a store of keys") from None  # the error's text may quote a secret
    authority.announce()
    return True


def _plain(key: Made) -> dict[str, Any]:
    return {
        "id": key.identifier, "algorithm": key.algorithm.text, "secret": base64.b64encode(key.secret).decode(),
        "from_us": key.from_us, "until_us": key.until_us,
    }  # fmt: skip


def _made(entry: dict[str, Any]) -> Made:
    algorithm = ALGORITHMS[entry["algorithm"]]
    secret = base64.b64decode(entry["secret"], validate=True)
    if len(secret) not in algorithm.secrets:
        raise ValueError("a secret of the wrong length")
    return Made(int(entry["id"]), algorithm, secret, int(entry["from_us"]), int(entry["until_us"]))
