"""The laboratory's key file and its command."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.security.commands import keys
from agent.security.frames import Algorithm, Key
from agent.security.keys import KeyFileError, KeyRing, load, write_laboratory_keys

SECRET = base64.b64encode(bytes(range(100, 132))).decode()
SIXTEEN = base64.b64encode(bytes(range(100, 116))).decode()


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def entry(**change: object) -> str:
    fields: dict[str, object] = {"id": 1, "group": "a", "algorithm": "hmac-sha256-128", "secret": SECRET} | change
    inner = ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())
    return f"  - {{{inner}}}\n"


def test_written_keys_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    made = write_laboratory_keys(file, ["goose", "sv", "goose"])
    assert file.stat().st_mode & 0o777 == 0o600
    ring = load(file)
    assert ring.groups == ("goose", "sv")
    assert [key.secret for key in ring] == [key.secret for key in made]
    assert len({key.secret for key in ring}) == len(ring) == 2
    assert ring.signing("sv").identifier == 2


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "keys.yaml", "mine")
    with pytest.raises(FileExistsError):
        write_laboratory_keys(file, ["a"])
    done = CliRunner().invoke(keys, ["lab", str(file)])
    assert done.exit_code == 1
    assert "exists" in done.output
    assert file.read_text() == "mine"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="exists"):
        write_laboratory_keys(tmp_path / "link", ["a"])
    assert not (tmp_path / "target").exists()


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o277)
    try:
        write_laboratory_keys(tmp_path / "keys", ["a"])
    finally:
        os.umask(old)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (entry(id=0), "id must be"),
        (entry(id=True), "id must be"),
        (entry(id=1 << 32), "id must be"),
        (entry(group=""), "group"),
        (entry(algorithm="md5"), "unknown algorithm 'md5'"),
        (entry(secret=SECRET[:20]), "octets"),
        (entry(secret="%%%"), "base64"),
        (entry(secret=5), "octets"),
        (entry(algorithm="aes-gmac-128", secret=SECRET[:40]), "aes-gmac-128 expects 16 or 32"),
        (entry(algorithm="aes-128-gcm"), "has 32 octets; aes-128-gcm expects 16"),
        (entry(algorithm="aes-256-gcm", secret=SIXTEEN), "has 16 octets; aes-256-gcm expects 32"),
        (entry(**{"from": "tomorrow"}), "from: expected an ISO 8601"),
        (entry(until=5), "until: expected an ISO 8601"),
        (entry(**{"from": "2026-12-01T00:00:00"}), "from: expected UTC"),
        (entry(**{"from": "2026-12-01T00:00:00+01:00"}), "from: expected UTC"),
        (entry(until="2126-12-01T00:00:00Z"), "from 1970 to 2106"),
        (entry(**{"from": "2026-12-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}), "until is not after from"),
        (entry(colour="red"), "unknown field 'colour'"),
        (entry() + entry(group="b"), "used twice"),
        ("  - 5\n", "key 1: expected"),
        ("  []\n", "no keys"),
    ],
)
def test_a_bad_entry_is_named_and_the_secret_is_not(tmp_path: Path, body: str, says: str) -> None:
    file = write(tmp_path / "keys.yaml", "flisr-keys: 1\nkeys:\n" + body)
    with pytest.raises(KeyFileError, match=says) as caught:
        load(file)
    assert str(file) in str(caught.value)
    assert SECRET[:16] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a key file"),
        ("flisr-keys: 2\nkeys: []", "not a key file"),
        (f"flisr-keys: 1\nkeys: [{SECRET}: :", "not YAML"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("flisr-keys: 1", "no keys"),
        ("flisr-keys: 1\ngrace: 5\nkeys: [1]", "unknown field 'grace'"),
        ("flisr-keys: 1\ngrace-s: -1\nkeys: [1]", "grace-s"),
        ("flisr-keys: 1\ngrace-s: true\nkeys: [1]", "grace-s"),
    ],
)
def test_a_bad_file_is_named_and_not_quoted(tmp_path: Path, text: str, says: str) -> None:
    file = write(tmp_path / "keys.yaml", text)
    with pytest.raises(KeyFileError, match=says) as caught:
        load(file)
    assert SECRET[:16] not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path / "keys.yaml", "flisr-keys: 1\nkeys:\n" + entry(), mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
        load(file)


def test_no_file_a_directory_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot read"):
        load(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyFileError, match="regular"):
            load(path)


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    ring = KeyRing([Key(1, Algorithm.HMAC_SHA256_80, bytes(32), "a")])
    with pytest.raises(KeyFileError, match=r"'b' \(groups in the file: a\)"):
        ring.group("b")


def test_times_are_read_however_they_are_written(tmp_path: Path) -> None:
    """Quoted or not, YAML makes something else of each; a whole day is not a time."""
    line = "  - {{id: {}, group: a, algorithm: {}, secret: {}, from: {}, until: {}}}\n"
    file = write(
        tmp_path / "keys",
        "flisr-keys: 1\ngrace-s: 7\nkeys:\n"
        + line.format(1, "aes-gmac-64", SIXTEEN, "2026-12-01T00:00:00Z", '"2026-12-01T00:00:10Z"')
        + line.format(2, "hmac-sha256-80", SECRET, "2026-12-01 00:00:10+00:00", "null"),
    )
    ring = load(file)
    first, second = ring
    assert (first.valid_from_us, first.valid_until_us) == (1_796_083_200_000_000, 1_796_083_210_000_000)
    assert (second.valid_from_us, second.valid_until_us) == (1_796_083_210_000_000, None)
    assert first.time_of_current_s == 1_796_083_200
    assert ring.schedule("a").grace_s == 7
    assert ring.signing("a", 1_796_083_205_000_000) is first
    assert ring.signing("a", 1_796_083_215_000_000) is second
    done = CliRunner().invoke(keys, ["check", str(file)])
    assert "key 1  aes-gmac-64  group a  from 2026-12-01T00:00:00Z  until 2026-12-01T00:00:10Z" in done.output
    write(file, "flisr-keys: 1\nkeys:\n" + line.format(1, "aes-gmac-64", SIXTEEN, "2026-12-01", "null"))
    with pytest.raises(KeyFileError, match="time of day"):
        load(file)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.text)
def test_the_command_knows_every_algorithm(tmp_path: Path, algorithm: Algorithm) -> None:
    file = tmp_path / "keys"
    done = CliRunner().invoke(keys, ["lab", str(file), "--algorithm", algorithm.text])
    assert done.exit_code == 0, done.output
    (key,) = load(file)
    assert key.algorithm is algorithm
    assert len(key.secret) in algorithm.secrets


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    done = CliRunner().invoke(keys, ["lab", str(file), "--group", "g1", "--group", "g2", "--json"])
    assert done.exit_code == 0
    listed = {"file": str(file), "keys": [{"id": i, "group": f"g{i}", "algorithm": "hmac-sha256-128"} for i in (1, 2)]}
    assert json.loads(done.output) == listed
    done = CliRunner().invoke(keys, ["check", str(file)])
    assert done.exit_code == 0
    assert "key 2  hmac-sha256-128  group g2" in done.output
    for key in load(file):
        assert base64.b64encode(key.secret).decode() not in done.output
    file.chmod(0o644)
    assert CliRunner().invoke(keys, ["check", str(file)]).exit_code == 1
