"""The sample configuration, made from the declaration that the checks use."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .model import Config, Notify, OneReflector, Reflector, RepositoryEntry, Settings, Xmpp

_TABLES: list[tuple[str, type[BaseModel], str]] = [
    ("[xmpp]", Xmpp, "announcements over XMPP; absent: no XMPP"),
    ("[reflector]", Reflector, "announcements over a TCP reflector; absent: none"),
    ("[[transport]]", OneReflector, 'more of these: type = "xmpp" or "reflector", and the keys of that section'),
    ("[notify]", Notify, "whom to tell of conflicts, held files and trouble"),
    ("[defaults]", Settings, "any key of [[repository]], for all of them"),
    ("[[repository]]", RepositoryEntry, "one table for each repository"),
]


def sample() -> str:
    """A configuration file with every key, its default and its meaning, all commented out."""
    lines = ["# autosync: configuration of this machine. Remove the '# ' before what you want to set.", ""]
    lines += [_line("name", Config.model_fields["name"], "laptop")]
    for header, model, meaning in _TABLES:
        lines += ["", f"# {header}".ljust(37) + f" # {meaning}"]
        if model in (Settings, OneReflector):
            continue
        fields = list(model.model_fields.items())
        if "path" in model.model_fields:
            fields.sort(key=lambda item: item[0] != "path")
        lines += [_line(field.alias or name, field, _example(name, field)) for name, field in fields]
    return "\n".join(lines) + "\n"


def _example(name: str, field: FieldInfo) -> Any:
    if name == "path":
        return "~/notes"
    if name == "id":
        return "notes"
    if name == "max_file_size":
        return "50MB"
    if field.examples:
        return field.examples[0]
    default = field.get_default(call_default_factory=False)
    return None if default is PydanticUndefined else default


def _line(key: str, field: FieldInfo, value: Any) -> str:
    # JSON's texts, numbers, lists and truth values are TOML's too
    return f"# {key} = {json.dumps(value)}".ljust(37) + f" # {field.description}"
