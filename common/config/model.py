"""The configuration as a declaration: names, types, limits, defaults and help.

The checks, the merging of layers and the sample file are all made from these models.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(value: object) -> int:
    """Bytes from an integer or a text like `50MB` or `1.5 GiB`. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("expected a size of 0 or more")
        return value
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?i?B?)\s*", value, re.IGNORECASE)
        unit = found and (
            found[2].upper() if found[2] in ("", "B", "b") or found[2][-1] in "Bb" else found[2].upper() + "B"
        )
        if found and unit in _UNITS:
            return int(float(found[1]) * _UNITS[unit])
    raise ValueError("expected a size like 500000, '50MB' or '2GiB'")


def _path(value: object) -> object:
    if isinstance(value, str):
        if not value or "\0" in value:
            raise ValueError("expected a path")
        return Path(value)
    return value


def _text(value: str) -> str:
    # it goes into messages and command lines, which cannot hold one
    if "\0" in value:
        raise ValueError("expected a text without NUL characters")
    return value


def _name(value: str) -> str:
    if not value.strip() or any(ord(c) < 32 for c in value):
        raise ValueError("expected a printable name")
    return value


def _bare_jid(value: str) -> str:
    if not re.fullmatch(r"[^\s@/\"&'<>:]+@[^\s@/]+", value):
        raise ValueError("expected an account like 'name@example.org', without a resource")
    return value


def _pubsub_node(value: str) -> str:
    if not re.fullmatch(r"[^\s@/\"&'<>:]+/[^\s\"&'<>]{1,200}", value):
        raise ValueError("expected a service and a node like 'pubsub.example.org/autosync'")
    return value


def _reflector_url(value: str) -> str:
    if not re.fullmatch(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+)(:\d{1,5})?/?", value):
        raise ValueError("expected an address like 'tcp://host:1986' or 'tls://host:1986'")
    return value


def _repository_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value):
        raise ValueError("expected up to 100 letters, digits, dots, dashes or underscores")
    return value


PathValue = Annotated[Path, BeforeValidator(_path)]
Seconds = Annotated[float, Field(ge=0, le=86400 * 7, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(parse_size)]
Name = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=64)]
Jid = Annotated[str, AfterValidator(_bare_jid)]
Text = Annotated[str, AfterValidator(_text), Field(min_length=1)]
Words = Annotated[list[Text], Field(min_length=1)]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=_kebab, frozen=True)


class Shared(_Model):
    """What a repository's own `.autosync.toml` may set: nothing in it can name a command, a host, a
    path outside or a secret."""

    id: Annotated[str, AfterValidator(_repository_id)] | None = Field(
        default=None, description="repository id in announcements; default: its oldest root commit"
    )
    settle: Seconds = Field(default=2.0, description="seconds a file has to be quiet before it is committed")
    max_wait: Seconds = Field(default=60.0, description="seconds after which a file that never rests is committed")
    push_delay: Seconds = Field(default=2.0, description="seconds to wait for more commits before a push")
    exclude: list[Text] = Field(default=[], description="besides .gitignore, patterns as there; watcher only")
    max_file_size: Size = Field(default=50_000_000, description="larger files are held back, one by one; 0: no limit")
    message: Text = Field(default="{summary}", description="commit message template")
    conflict: Literal["keep-both", "stop"] = Field(default="keep-both", description="keep-both | stop")
    silent_after: Seconds = Field(
        default=0.0, description="seconds after which a machine that says nothing is an alarm; 0: never"
    )


class Settings(Shared):
    """Every key of `[[repository]]` that has a default, and so every key of `[defaults]`."""

    watch: bool = Field(default=True, description="the watcher commits")
    push: Literal["auto", "manual"] = Field(
        default="auto", description="auto | manual (commits wait for a push by hand)"
    )
    pull: Literal["auto", "notify", "never"] = Field(default="auto", description="auto | notify | never")
    announce: bool = Field(default=True, description="tell the other machines")
    notify_ssh: bool = Field(
        default=True, description="hear of pushes from an ssh server that has autosync; nothing to set up"
    )
    direct: bool = Field(default=False, description="tell of commits before they are pushed; see autosync peers")
    fetch_jitter: Seconds = Field(
        default=0.0, description="seconds over which machines spread their fetches after an announcement"
    )
    poll: Annotated[float, Field(ge=1, le=86400 * 7)] = Field(
        default=300.0, description="seconds between looks at the remote when nothing is heard"
    )
    builtin_ignores: bool = Field(default=True, description="leave out what editors leave (see docs/watcher.md)")
    quarantine: list[Text] | None = Field(
        default=None,
        description="names held back as secrets, patterns as in .gitignore; default: see docs/watcher.md",
        examples=[[".env", "*.kdbx"]],
    )
    ask_message: bool = Field(default=False, description="ask for commit messages on the desktop")
    ask_timeout: Seconds = Field(default=60.0, description="seconds to wait for one before the default message is used")
    staged_hold: Seconds = Field(default=600.0, description="seconds to wait while changes are staged by hand")
    brake_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="a larger share of deleted files has to be confirmed"
    )
    brake_count: Annotated[int, Field(ge=1)] = Field(default=20, description="but not fewer deleted files than these")
    hook_limit: Annotated[float, Field(gt=0, le=86400)] = Field(
        default=120.0, description="seconds that a hook of the repository, or signing, may take"
    )
    message_command: Words | None = Field(
        default=None,
        description="a command whose output is added to commit messages",
        examples=[["date", "--iso-8601=minutes"]],
    )


class RepositoryEntry(Settings):
    """One `[[repository]]`."""

    path: PathValue = Field(description="work tree or bare repository, or a pattern: /srv/git/*.git")


class Xmpp(_Model):
    """`[xmpp]`: absent means no XMPP."""

    jid: Jid = Field(description="one account for all of one's machines", examples=["rene@example.org"])
    password_file: PathValue | None = Field(
        default=None, description="refused when others can read it", examples=["xmpp-password"]
    )
    password_command: Words | None = Field(
        default=None, description="instead: a command that prints the password", examples=[["pass", "show", "xmpp"]]
    )
    host: Text | None = Field(default=None, description="where DNS does not lead there", examples=["127.0.0.1"])
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=5222, description="goes with host")
    direct_tls: bool = Field(default=False, description="goes with host: TLS from the first byte, as on port 5223")
    ca_file: PathValue | None = Field(default=None, description="trust this authority (only)", examples=["ca.pem"])
    peers: list[Jid] = Field(
        default=[], description="other accounts to tell and to believe", examples=[["antonio@example.org"]]
    )
    dvcs_autosync: bool = Field(
        default=False, description="tell and hear dvcs-autosync too; this account is then for machines only"
    )

    room: Jid | None = Field(
        default=None,
        description="a members-only room as the channel of a team",
        examples=["sync@conference.example.org"],
    )
    pubsub: Annotated[str, AfterValidator(_pubsub_node)] | None = Field(
        default=None,
        description="or a publish-subscribe node, for many machines",
        examples=["pubsub.example.org/autosync"],
    )

    @model_validator(mode="after")
    def _one_channel(self) -> Xmpp:
        if self.room is not None and self.pubsub is not None:
            raise ValueError("expected either room or pubsub")
        return self

    @model_validator(mode="after")
    def _one_password(self) -> Xmpp:
        if (self.password_file is None) == (self.password_command is None):
            raise ValueError("expected either password-file or password-command")
        return self


class Reflector(_Model):
    """`[reflector]`: absent means none."""

    url: Annotated[str, AfterValidator(_reflector_url)] = Field(
        description="tls:// too", examples=["tcp://127.0.0.1:1986"]
    )
    secret_file: PathValue | None = Field(
        default=None,
        description="seals names and messages; the same file on all machines",
        examples=["reflector-secret"],
    )
    ca_file: PathValue | None = Field(default=None, description="for tls://, trust only this", examples=["ca.pem"])
    sparkleshare: bool = Field(default=False, description="plain messages that SparkleShare clients understand")

    @model_validator(mode="after")
    def _sealed_or_plain(self) -> Reflector:
        if self.sparkleshare and self.secret_file is not None:
            raise ValueError("expected either secret-file or sparkleshare, as SparkleShare cannot read sealed messages")
        return self


class OneXmpp(Xmpp):
    """A `[[transport]]` of type `xmpp`."""

    type: Literal["xmpp"]


class OneReflector(Reflector):
    """A `[[transport]]` of type `reflector`."""

    type: Literal["reflector"]


class Notify(_Model):
    """`[notify]`: whom to tell of conflicts, held files and trouble, and of files that came."""

    desktop: bool = Field(default=True, description="org.freedesktop.Notifications, when there is one")
    files: bool = Field(default=True, description="on the desktop, of files that came from other machines too")
    xmpp: list[Jid] = Field(default=[], description="a person to tell", examples=[["rene@phone.example.org"]])


class Config(_Model):
    """The whole configuration file."""

    name: Name = Field(default_factory=socket.gethostname, description="this machine; default: host name")
    xmpp: Xmpp | None = None
    reflector: Reflector | None = None
    transport: list[Annotated[OneXmpp | OneReflector, Field(discriminator="type")]] = []
    notify: Notify = Notify()
    defaults: Settings = Settings()
    repository: list[RepositoryEntry] = []

    @model_validator(mode="after")
    def _each_once(self) -> Config:
        addresses = [_address(section) for section in self._sections]
        if len(set(addresses)) < len(addresses):
            raise ValueError("expected each jid of xmpp, and each url of reflector, only once")
        return self

    @property
    def _sections(self) -> list[Xmpp | Reflector]:
        alone = [section for section in (self.xmpp, self.reflector) if section is not None]
        return [*alone, *self.transport]

    @property
    def transports(self) -> dict[str, Xmpp | Reflector]:
        """All ways to carry announcements by their names, in their order: `[xmpp]`, `[reflector]`, then each
        `[[transport]]`. With several of a kind, the names tell where each leads."""
        kinds = [_kind(section) for section in self._sections]
        return {
            kind if kinds.count(kind) == 1 else f"{kind} {_address(section)}": section
            for kind, section in zip(kinds, self._sections, strict=True)
        }


def _kind(section: Xmpp | Reflector) -> str:
    return "xmpp" if isinstance(section, Xmpp) else "reflector"


def _address(section: Xmpp | Reflector) -> str:
    return section.jid if isinstance(section, Xmpp) else section.url


def explicit(model: BaseModel) -> dict[str, Any]:
    """The values that were given, not the defaults: what one layer contributes to a merge."""
    return {name: getattr(model, name) for name in model.model_fields_set}
