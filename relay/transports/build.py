"""The transports that a configuration asks for."""

from __future__ import annotations

from autosync.common.config import Config
from autosync.common.instance import Instance
from autosync.common.version import version

from .base import Transport


def build(config: Config, instance: Instance) -> list[Transport]:
    """One transport for each section; what a transport needs is imported only when it is configured."""
    transports: list[Transport] = []
    if config.xmpp is not None:
        from .xmpp import XmppTransport

        transports.append(XmppTransport(config.xmpp, config.name, instance.name, version()))
    if config.reflector is not None:
        from .reflector import ReflectorTransport

        transports.append(ReflectorTransport(config.reflector, config.name))
    return transports
