"""Passwords and secrets stay where they are needed: nothing else shows them, whatever goes right or wrong."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autosync.relay import main as relay
from autosync.relay.reflector import main as reflector
from tests.support.machines import Fleet, Service, command
from tests.support.prosody import Prosody
from tests.support.wait import until

RIGHT, WRONG = "Weg-ueber-die-Alm-7731", "falscher-Weg-4482"
SECRET = "Geheimnis der Kette 99125 und mehr"
PRINTED = "gedruckt-von-pass-5530"


def forms(secret: str) -> list[bytes]:
    """The secret, and what it looks like in the encodings of protocols and languages."""
    data = secret.encode()
    return [data, base64.b64encode(data), data.hex().encode(), base64.b64encode(b"\0laptop\0" + data)]


def shown(folder: Path) -> dict[str, bytes]:
    """Command line and environment of every process below ours, and all files that were written."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found[f"{process}/{name}"] = (process / name).read_bytes()
            except OSError:
                continue
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            found[str(file)] = file.read_bytes()
    return found


def test_no_secret_is_shown_by_anything(tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "fleet").mkdir()
    with Prosody(tmp_path / "server") as server, Fleet(tmp_path / "fleet") as fleet:
        jid = server.add_account("rene", RIGHT)
        port = fleet.reflector()
        laptop = fleet.add("laptop", clone=False)
        config = laptop.config.parent
        config.mkdir(parents=True)
        for name, content in {"password": WRONG, "secret": SECRET}.items():
            (config / name).touch(mode=0o600)
            (config / name).write_text(f"{content}\n")
        xmpp = f'jid = "{jid}"\nhost = "127.0.0.1"\nport = {server.port}\nca-file = "{server.ca_file}"\n'
        printing = f"print('{PRINTED[:8]}' + '{PRINTED[8:]}')"
        laptop.sections = (
            f'[xmpp]\n{xmpp}password-file = "password"\n'
            f'[[transport]]\ntype = "xmpp"\n{xmpp.replace("rene", "anton")}'
            f"password-command = {json.dumps([sys.executable, '-c', printing])}\n"
            f'[reflector]\nurl = "tcp://127.0.0.1:{port}"\nsecret-file = "secret"\n'
        )
        laptop.clone(fleet.central)
        log = laptop.folder / "relay.log"
        relay = laptop.services["relay"] = Service([command("autosync-relay"), "-v"], laptop.env, log)
        until(lambda: laptop.answers("relay"), "the relay to answer")

        def states() -> list[str]:
            return [one["state"] for one in laptop.relay_status()["transports"]]

        # one login is refused, the other account does not exist: both are told of with all words there are
        until(lambda: sorted(states()) == ["failed", "failed", "online"], f"the logins to be refused\n{laptop.logs()}")
        said = [json.dumps(laptop.relay_status()).encode()]
        said += [
            (done := laptop.run("autosync", *words, check=False)).stdout.encode() + done.stderr.encode()
            for words in (["status"], ["status", "--json"], ["doctor"], ["invite"], ["peers"], ["log"])
        ]
        (config / "password").write_text(f"{RIGHT}\n")
        until(lambda: states().count("online") == 2, "the corrected password to be used")
        head = laptop.commit("file", "news\n")
        laptop.run("autosync", "sync", check=False)
        until(lambda: laptop.relay_status()["repositories"][0]["head"] == head, "the commit to be seen")
        said.append(json.dumps(laptop.relay_status()).encode())
        # a mistake in the configuration is named with what stands there, and that is a file's name
        laptop.configure(sections=laptop.sections.replace("secret-file", "secretfile"))
        until(lambda: laptop.relay_status()["config_error"], "the mistake to be found")
        said.append(json.dumps(laptop.relay_status()).encode())
        places = shown(fleet.folder) | {f"said {number}": text for number, text in enumerate(said)}
        # the files with the secrets, and what the server keeps, are where they belong
        del places[str(config / "password")], places[str(config / "secret")]
        assert relay.process.poll() is None
        for secret in (RIGHT, WRONG, SECRET, PRINTED):
            for form in forms(secret):
                assert not [place for place, text in places.items() if form in text], secret
        assert b"connected as" in places[str(log)]


def test_a_process_that_holds_secrets_leaves_no_core(tmp_path):
    code = (
        "import os, resource, signal\n"
        "from autosync.common.private import keep_from_dumps\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
        "keep_from_dumps()\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE)[0] in (0, 1)\n"
        "os.kill(os.getpid(), signal.SIGABRT)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGABRT, done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("module", "argv"),
    [(relay, ["--config", "/nowhere/config.toml"]), (reflector, ["--listen", "host.invalid:1"])],
    ids=["relay", "reflector"],
)
def test_the_services_that_hold_secrets_are_such_processes(monkeypatch, module, argv):
    called = []
    monkeypatch.setattr(module, "keep_from_dumps", lambda: called.append(True))
    assert module.main(argv) == 1
    assert called == [True]
