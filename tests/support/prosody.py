"""A real Prosody in a folder of its own, with TLS and SCRAM.

with Prosody(tmp_path) as server:
    server.add_account("rene", "secret")
    # [xmpp] jid = "rene@localhost"  host = "127.0.0.1"  port = server.port  ca-file = server.ca_file
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from pathlib import Path
from types import TracebackType

from .certificates import Authority
from .server import ServerProcess, answers, free_port, missing

DOMAIN = "localhost"
#: Fewer rounds than in earnest, so that a login costs little.
_ROUNDS = 4096

_CONFIG = """\
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
plugin_paths = {{}}
admin_socket = "{folder}/admin.socket"
interfaces = {{ "{address}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {tls_port} }}
c2s_require_encryption = true
modules_enabled = {{ "disco"; "roster"; "saslauth"; "tls"; "ping"; "carbons"; "mam"; "pep"; "smacks"; "admin_shell"; }}
modules_disabled = {{ "s2s"; }}
authentication = "internal_hashed"
storage = "internal"
log = {{ {{ levels = {{ min = "debug" }}; to = "file"; filename = "{folder}/prosody.log" }} }}
ssl = {{ certificate = "{folder}/server.pem"; key = "{folder}/server.key" }}
{options}
VirtualHost "{domain}"
Component "conference.{domain}" "muc"
Component "pubsub.{domain}" "pubsub"
    admins = {{ "librarian@{domain}" }}
"""


class Prosody:
    """``port`` speaks STARTTLS, ``tls_port`` TLS from the first byte; both on ``address``, for the domain `localhost`.

    `conference.localhost` is a service for rooms, `pubsub.localhost` one for publish-subscribe, where
    `librarian@localhost` may make nodes. A test that uses it is skipped where Prosody is not installed, and fails there
    when CI is set. ``options`` are more lines of its configuration.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1", options: str = "") -> None:
        program = shutil.which("prosody", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin:/usr/local/bin")
        if program is None:
            missing("Prosody", "apt-get install prosody")
            raise AssertionError("unreachable")
        self.domain = DOMAIN
        self.folder = folder / "prosody"
        self.folder.mkdir(parents=True)
        (self.folder / "data").mkdir()
        self.authority = Authority(self.folder)
        self.ca_file = self.authority.file
        self.renew_certificate()
        self.port, self.tls_port = free_port(), free_port()
        config = self.folder / "prosody.cfg.lua"
        config.write_text(
            _CONFIG.format(
                folder=self.folder,
                address=address,
                port=self.port,
                tls_port=self.tls_port,
                domain=self.domain,
                options=options,
            )
        )
        self._process = ServerProcess(
            [program, "-F", "--config", str(config)],
            lambda: answers(self.port, address) and answers(self.tls_port, address),
            self.folder / "output.log",
            {"PROSODY_CONFIG": str(config)},
        )
        self.start, self.stop, self.kill = self._process.start, self._process.stop, self._process.kill
        self.freeze, self.thaw, self.restart = self._process.freeze, self._process.thaw, self._process.restart

    def __enter__(self) -> Prosody:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def add_account(self, user: str, password: str) -> str:
        """Make the account, or change its password, also while the server runs; returns its address.

        ``user`` is the name, or a full `name@localhost`.
        """
        user = user.removesuffix(f"@{self.domain}")
        salt = os.urandom(12).hex()
        salted = hashlib.pbkdf2_hmac("sha1", password.encode(), salt.encode(), _ROUNDS)
        stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).hexdigest()
        server = hmac.digest(salted, b"Server Key", "sha1").hex()
        path = self._account(user)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'return {{ ["salt"] = "{salt}"; ["stored_key"] = "{stored}"; ["server_key"] = "{server}"; '
            f'["iteration_count"] = {_ROUNDS}; }};\n'
        )
        return f"{user}@{self.domain}"

    def remove_account(self, user: str) -> None:
        """The account can no longer log in; sessions that are open stay."""
        self._account(user.removesuffix(f"@{self.domain}")).unlink()

    def _account(self, user: str) -> Path:
        assert user.isalnum(), "a plain name, as its file name is not escaped here"
        return self.folder / "data" / self.domain / "accounts" / f"{user}.dat"

    def renew_certificate(self, authority: Authority | None = None, *names: str, expired: bool = False) -> None:
        """Make a new server certificate; it counts from the next start."""
        (authority or self.authority).issue(
            self.folder / "server.pem",
            self.folder / "server.key",
            *(names or (self.domain, f"conference.{self.domain}", f"pubsub.{self.domain}")),
            expired=expired,
        )

    def log(self) -> str:
        """What it logged so far, for the message of a failing test."""
        return (self.folder / "prosody.log").read_text(errors="replace")
