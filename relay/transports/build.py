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
    """One transport for each section; what a transport needs is imported only when it is configured.

    One that cannot be begun shows why in its health, and is tried again.
    """
    makers: dict[str, Callable[[], Transport]] = {}
    if config.xmpp is not None:
        makers["xmpp"] = partial(_xmpp, config.xmpp, config.name, instance)
    if config.reflector is not None:
        makers["reflector"] = partial(_reflector, config.reflector, config.name)
    return [_begun(name, make) for name, make in makers.items()]


def _begun(name: str, make: Callable[[], Transport]) -> Transport:
    try:
        return make()
    except Problem as problem:
        return Unusable(name, make, problem)


def _xmpp(section: Xmpp, machine: str, instance: Instance) -> Transport:
    from .xmpp import XmppTransport

    return XmppTransport(section, machine, instance.name, version())


def _reflector(section: Reflector, machine: str) -> Transport:
    from .reflector import ReflectorTransport

    return ReflectorTransport(section, machine)
