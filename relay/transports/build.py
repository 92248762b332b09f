"""The transports that a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from autosync.common.config import Config, Reflector, Xmpp
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.version import version

from .base import Transport
from .unusable import Unusable


def build(config: Config, instance: Instance) -> list[Transport]:
    """One transport for each section, in their order; what a transport needs is imported only when it is configured.

    One that cannot be begun shows why in its health, and is tried again.
    """
    return [
        _begun(name, partial(_made, name, section, config.name, instance))
        for name, section in config.transports.items()
    ]


def _begun(name: str, make: Callable[[], Transport]) -> Transport:
    try:
        return make()
    except Problem as problem:
        return Unusable(name, make, problem)


def _made(name: str, section: Xmpp | Reflector, machine: str, instance: Instance) -> Transport:
    if isinstance(section, Xmpp):
        from .xmpp import XmppTransport

        return XmppTransport(section, machine, instance.name, version(), name=name)
    from .reflector import ReflectorTransport

    return ReflectorTransport(section, machine, name=name)
