"""A real ejabberd in a folder of its own, with TLS and SCRAM; used like `tests.support.prosody.Prosody`.

It is started without Erlang's distribution, so that no `epmd` is left behind; accounts are made over its HTTP API.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from types import TracebackType

from .certificates import Authority
from .server import ServerProcess, answers, free_port, missing
from .wait import until

DOMAIN = "localhost"

_CONFIG = """\
loglevel: debug
hosts: ["{domain}"]
certfiles: ["{folder}/server.pem"]
auth_method: internal
auth_password_format: scram
disable_sasl_mechanisms: ["digest-md5", "x-oauth2"]
listen:
  - {{ port: {port}, ip: "{address}", module: ejabberd_c2s, max_stanza_size: 262144, starttls_required: true }}
  - {{ port: {tls_port}, ip: "{address}", module: ejabberd_c2s, max_stanza_size: 262144, tls: true }}
  - port: {http_port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers: {{ "/api": mod_http_api }}
api_permissions:
  "tests":
    from: [mod_http_api]
    who: [{{ ip: "127.0.0.1/8" }}]
    what: ["*", "!stop", "!start"]
modules:
  mod_adhoc: {{}}
  mod_admin_extra: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_mam: {{ default: always, assume_mam_usage: false }}
  mod_muc: {{ access_persistent: all, access_create: all }}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_pubsub: {{ access_createnode: all, plugins: [flat, pep] }}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
"""


class Ejabberd:
    """``port`` speaks STARTTLS, ``tls_port`` TLS from the first byte; both on ``address``, for the domain `localhost`.

    A test that uses it is skipped where ejabberd is not installed, and fails there when CI is set.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        erlang = shutil.which("erl")
        programs = sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin"))
        if erlang is None or not programs:
            missing("ejabberd", "apt-get install ejabberd")
            raise AssertionError("unreachable")
        self.domain = DOMAIN
        self.folder = folder / "ejabberd"
        self.folder.mkdir(parents=True)
        self.authority = Authority(self.folder)
        self.ca_file = self.authority.file
        self.renew_certificate()
        self.port, self.tls_port, self._http_port = free_port(), free_port(), free_port()
        config = self.folder / "ejabberd.yml"
        config.write_text(
            _CONFIG.format(
                folder=self.folder,
                address=address,
                port=self.port,
                tls_port=self.tls_port,
                http_port=self._http_port,
                domain=self.domain,
            )
        )
        self._new: set[str] = set()
        self._process = ServerProcess(
            [erlang, "-noinput", "-mnesia", "dir", f'"{self.folder}/database"', "-s", "ejabberd"],
            lambda: all(answers(port, address) for port in (self.port, self.tls_port)) and answers(self._http_port),
            self.folder / "output.log",
            {
                "ERL_LIBS": str(programs[-1].parent.parent),
                "ERL_CRASH_DUMP": str(self.folder / "crash.dump"),
                "EJABBERD_CONFIG_PATH": str(config),
                "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
                "CONTRIB_MODULES_PATH": str(self.folder / "modules"),
                # one scheduler: a test server has little to do and must not spin
                "ERL_FLAGS": "+S 1:1 +sbwt none",
            },
        )
        self.start, self.stop = self._process.start, self._process.stop
        self.freeze, self.thaw, self.restart = self._process.freeze, self._process.thaw, self._process.restart

    def __enter__(self) -> Ejabberd:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), but not before new accounts are on disk: it takes its time over that."""
        until(self._saved, "ejabberd to save accounts")
        self._process.kill()

    def _saved(self) -> bool:
        database = b"".join(file.read_bytes() for file in (self.folder / "database").iterdir() if file.is_file())
        self._new = {user for user in self._new if user.encode() not in database}
        return not self._new

    @property
    def pid(self) -> int:
        return self._process.pid

    def add_account(self, user: str, password: str) -> str:
        """Make the account, or change its password, while the server runs; returns its address."""
        user = user.removesuffix(f"@{self.domain}")
        known = self._call("check_account", user=user, host=self.domain) == 0
        if known:
            self._call("change_password", user=user, host=self.domain, newpass=password)
        else:
            self._new.add(user)
            self._call("register", user=user, host=self.domain, password=password)
        return f"{user}@{self.domain}"

    def remove_account(self, user: str) -> None:
        """The account is gone, with its open sessions."""
        self._call("unregister", user=user.removesuffix(f"@{self.domain}"), host=self.domain)

    def _call(self, command: str, **arguments: str) -> object:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._http_port}/api/{command}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def renew_certificate(self, authority: Authority | None = None, *names: str, expired: bool = False) -> None:
        """Make a new server certificate; it counts from the next start."""
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        (authority or self.authority).issue(certificate, key, *(names or (self.domain,)), expired=expired)
        both = self.folder / "server.pem"
        both.touch(mode=0o600)
        both.write_bytes(certificate.read_bytes() + key.read_bytes())

    def log(self) -> str:
        """What it logged so far, for the message of a failing test."""
        return (self.folder / "ejabberd.log").read_text(errors="replace")
