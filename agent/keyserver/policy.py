"""The configuration of a group key server: one YAML file.

.. code-block:: yaml

    flisr-key-server: 1
    number: 1                       # 1, or 2 for the second of a pair
    listen: 10.0.0.5:8852
    certificate: server1.pem        # paths are relative to this file
    private-key: server1.key
    ca: ca.pem
    store: keys.store
    peer: {address: 10.0.0.6:8852, name: server2}   # optional
    takeover-s: 30
    groups:
      flisr: {algorithm: hmac-sha256-128, life-s: 86400, ahead-s: 3600, hold-s: 604800,
              members: [F1FLISR, R11FLISR]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from agent.keyserver.authority import GroupPolicy
from agent.keyserver.payloads import NAME_MAX
from agent.keyserver.tls import Identity
from agent.security.frames import ALGORITHMS

FORMAT = 1
FILE_MAX = 1 << 20
FIELDS = {
    "flisr-key-server", "number", "listen", "certificate", "private-key", "ca", "store", "peer", "takeover-s", "groups",
}  # fmt: skip
GROUP_FIELDS = {"algorithm", "life-s", "ahead-s", "hold-s", "members"}
LIFE_MIN_S = 4


class PolicyError(ValueError):
    """The file cannot be used; the text says which field and why."""


class ServerConfig(NamedTuple):
    """What the file says."""

    number: int
    listen: tuple[str, int]
    identity: Identity
    store: Path
    groups: tuple[GroupPolicy, ...]
    peer: tuple[str, int] | None = None
    peer_name: str = ""
    takeover_s: int = 30


def address(text: object, field: str) -> tuple[str, int]:
    """``host:port``."""
    host, colon, port = str(text).rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise PolicyError(f"{field}: HOST:PORT is needed, not {str(text)[:60]!r}")
    return host.strip("[]"), int(port)


def load(path: Path) -> ServerConfig:
    """Read the file; PolicyError names what is wrong with it."""
    try:
        octets = path.read_bytes()[: FILE_MAX + 1]
        document = yaml.safe_load(octets) if len(octets) <= FILE_MAX else None
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: not YAML ({str(error).splitlines()[0]})") from None
    try:
        return _config(document, path.parent)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


def _config(document: Any, folder: Path) -> ServerConfig:
    if not isinstance(document, dict) or document.get("flisr-key-server") != FORMAT:
        raise PolicyError(f"not a key server's configuration (expected 'flisr-key-server: {FORMAT}')")
    _known(document, FIELDS, "")
    groups = document.get("groups")
    if not isinstance(groups, dict) or not groups:
        raise PolicyError("groups: none")
    peer = document.get("peer")
    if peer is not None and (not isinstance(peer, dict) or set(peer) != {"address", "name"}):
        raise PolicyError("peer: address and name are needed")
    files = [folder / _words(document, name) for name in ("certificate", "private-key", "ca")]
    number = document.get("number", 1)
    if number not in (1, 2) or isinstance(number, bool):
        raise PolicyError("number: 1 or 2")
    return ServerConfig(
        number,
        address(document.get("listen"), "listen"),
        Identity(*files),
        folder / _words(document, "store"),
        tuple(_group(str(name), entry) for name, entry in groups.items()),
        None if peer is None else address(peer["address"], "peer: address"),
        "" if peer is None else str(peer["name"]),
        _seconds(document, "takeover-s", 30, 1),
    )


def _group(name: str, entry: Any) -> GroupPolicy:
    where = f"group {name!r}"
    if not 1 <= len(name.encode()) <= NAME_MAX:
        raise PolicyError(f"{where}: a name has 1 to {NAME_MAX} octets")
    if not isinstance(entry, dict):
        raise PolicyError(f"{where}: algorithm and members are needed")
    _known(entry, GROUP_FIELDS, f"{where}: ")
    algorithm = ALGORITHMS.get(str(entry.get("algorithm", "hmac-sha256-128")))
    if algorithm is None:
        raise PolicyError(f"{where}: unknown algorithm; known: {', '.join(ALGORITHMS)}")
    members = entry.get("members")
    if not isinstance(members, list) or not members or not all(isinstance(name, str) and name for name in members):
        raise PolicyError(f"{where}: members must be a list of certificates' common names")
    life = _seconds(entry, "life-s", 86_400, LIFE_MIN_S, f"{where}: ")
    ahead = _seconds(entry, "ahead-s", min(3_600, life // 2), 1, f"{where}: ")
    if ahead >= life:
        raise PolicyError(f"{where}: ahead-s must be less than life-s")
    hold = _seconds(entry, "hold-s", 604_800, 0, f"{where}: ")
    return GroupPolicy(name, algorithm, frozenset(members), life, ahead, hold_s=hold)


def _known(entry: dict[Any, Any], fields: set[str], where: str) -> None:
    unknown = sorted(str(name) for name in entry if name not in fields)
    if unknown:
        raise PolicyError(f"{where}unknown field {unknown[0]!r}")


def _words(document: dict[Any, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{name}: a file name is needed")
    return value


def _seconds(entry: dict[Any, Any], name: str, usual: int, least: int, where: str = "") -> int:
    value = entry.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10 * 365 * 86_400:
        raise PolicyError(f"{where}{name} must be a number of seconds, {least} at the least")
    return value
