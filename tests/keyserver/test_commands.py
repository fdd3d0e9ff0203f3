"""``flisr keys pki`` and ``flisr keys serve`` as a person runs them, with the configuration that the document shows."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.commands import _servers
from agent.keyserver import policy
from agent.mms.roles import DEFINITION, Token, tokens_of
from agent.security.commands import keys
from tests.keyserver.test_server import free_port, identity, keys_in, member, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "distribute-keys.md"


def shown() -> str:
    """The configuration in the document."""
    found = re.search(r"```yaml\n(# pki/server1.yaml\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def enrolled(place: Path) -> Path:
    """Certificates as the document makes them."""
    folder = place / "pki"
    names = ("--server", "server1", "--server", "server2", "--device", "F1_AG", "--device", "R11_AG")
    result = CliRunner().invoke(keys, ["pki", str(folder), *names, "--json"])
    assert result.exit_code == 0, result.output
    made = json.loads(result.output)["certificates"]
    assert sorted(made) == ["F1_AG.pem", "R11_AG.pem", "server1.pem", "server2.pem"]
    return folder


@contextmanager
def started(file: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command as a process of its own, and where its audit goes."""
    audit = file.with_suffix(".audit")
    with audit.open("wb") as lines:
        command = [sys.executable, "-m", "agent.cli", "keys", "serve", "--config", str(file)]
        process = subprocess.Popen(command, stderr=lines)
    try:
        yield process, audit
    finally:
        process.kill()
        process.wait()


def test_a_pair_as_the_document_shows_it(tmp_path: Path) -> None:
    """Both serve one chain; one is told to stop, and the other goes on."""
    folder = enrolled(tmp_path)
    ports = (str(free_port()), str(free_port()))
    first, second = folder / "server1.yaml", folder / "server2.yaml"
    text = shown().replace("8852", ports[0]).replace("8853", ports[1])
    first.write_text(text)
    other = text.replace("number: 1 ", "number: 2 ").replace("server1", "server2")
    other = re.sub(r"listen: .*", f"listen: 127.0.0.1:{ports[1]}", other)
    second.write_text(re.sub(r"peer: .*", f"peer: {{address: 127.0.0.1:{ports[0]}, name: server1}}", other))
    assert policy.load(second).number == 2
    servers = [("127.0.0.1", int(port)) for port in ports]
    with started(first) as (process, audit), started(second) as (_, other_audit):
        with member(servers[:1], identity(folder, "F1_AG")) as heard:
            until(lambda: any(told.keys for told in keys_in(heard)))
        with member(servers[1:], identity(folder, "R11_AG")) as again:
            until(lambda: any(told.keys for told in keys_in(again)))
        made = [told for told in keys_in(heard) if told.keys][-1]
        assert {key.secret for key in made.keys} == {key.secret for key in keys_in(again)[-1].keys}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert b"F1_AG connected from 127.0.0.1" in audit.read_bytes()
        assert b"Traceback" not in audit.read_bytes() + other_audit.read_bytes()
        with member(servers, identity(folder, "F1_AG")) as after:
            until(lambda: any(told.keys for told in keys_in(after)))
    assert {key.secret for key in keys_in(after)[-1].keys} == {key.secret for key in made.keys}


def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path) -> None:
    folder = enrolled(tmp_path)
    file = folder / "server1.yaml"
    file.write_text(shown())
    (folder / "server1.key").chmod(0o644)
    result = CliRunner().invoke(keys, ["serve", "--config", str(file)])
    assert result.exit_code == 1
    assert "mode 0644 lets others read the private key" in result.output
    result = CliRunner().invoke(keys, ["serve", "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "No such file" in result.output
    again = CliRunner().invoke(keys, ["pki", str(folder), "--device", "F1_AG"])
    assert again.exit_code == 1
    assert "never overwritten" in again.output
    assert CliRunner().invoke(keys, ["pki", str(folder)]).exit_code == 2


def test_servers_are_given_one_by_one_or_together() -> None:
    @click.command()
    def any_command() -> None: ...

    option = click.Option(["--key-server"])
    with click.Context(any_command) as context:
        both = (("10.0.0.5", 8852), ("fd00::6", 8853))
        assert _servers(context, option, ("10.0.0.5:8852", "[fd00::6]:8853")) == both
        assert _servers(context, option, ("10.0.0.5:8852, [fd00::6]:8853",)) == both
        with pytest.raises(click.BadParameter):
            _servers(context, option, ("10.0.0.5:8852,",))


def test_a_client_with_a_role_is_enrolled_renewed_and_revoked(tmp_path: Path) -> None:
    folder = tmp_path / "pki"

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(keys, [*arguments[:1], str(folder), *arguments[1:]])
        return result.exit_code, result.output

    status, output = run("pki", "--role", "centre=OPERATOR,VIEWER", "--server", "F1_AG", "--area", "north", "--json")
    assert status == 0, output
    assert sorted(json.loads(output)["certificates"]) == ["F1_AG.pem", "centre.pem"]
    first = certificate_of(folder, "centre")
    assert tokens_of(first.public_bytes(Encoding.DER)) == [Token((1, 0), "north", 0, DEFINITION)]
    assert (folder / "centre.key").stat().st_mode & 0o777 == 0o600
    for wrong in ("centre", "=OPERATOR", "x=", "x=BOSS", "x=7"):
        status, output = run("pki", "--role", wrong)
        assert status == 2
        assert "NAME=ROLE is needed, roles are VIEWER, OPERATOR" in output

    status, output = run("revoke", "centre", "--json")
    assert json.loads(output) == {"folder": str(folder), "revoked": ["centre"], "listed": 1}
    assert json.loads(run("revoke", "centre", "--json")[1])["listed"] == 1
    status, output = run("renew", "centre")
    assert status == 0, output
    second = certificate_of(folder, "centre")
    assert second.serial_number != first.serial_number
    assert tokens_of(second.public_bytes(Encoding.DER)) == tokens_of(first.public_bytes(Encoding.DER))
    content = (folder / "ca.pem").read_bytes()
    listed = x509.load_pem_x509_crl(content[content.index(b"-----BEGIN X509 CRL") :])
    assert listed.is_signature_valid(x509.load_pem_x509_certificate(content).public_key())  # type: ignore[arg-type]
    assert [entry.serial_number for entry in listed] == [first.serial_number]
    assert (folder / "centre.key").stat().st_mode & 0o777 == 0o600

    for command in ("revoke", "renew"):
        status, output = run(command, "nobody")
        assert status == 1
        assert "nobody.pem: cannot be read" in output
    # An authority with a list goes on to enrol.
    assert run("pki", "--device", "late")[0] == 0
    (folder / "ca.key").unlink()
    assert "ca.key: no such file" in run("revoke")[1]


def certificate_of(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
