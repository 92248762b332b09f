"""Where an XMPP server listens: as configured, or as its domain's name servers tell (RFC 6120, section 3.2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from autosync.common.config import Xmpp

from .resolver import addresses
from .xmpp_trouble import Trouble

PORT = 5222
# Seconds for the name servers.
_LIMIT = 5.0
# Addresses that one connection is tried at.
_MOST = 8
_DIRECT, _STARTTLS = "xmpps-client", "xmpp-client"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens; ``direct_tls``: TLS from the first byte (XEP-0368), else STARTTLS."""

    address: str
    port: int
    direct_tls: bool

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


async def places(config: Xmpp, domain: str) -> list[Place]:
    """In the order in which to try them, at least one. Raises Trouble."""
    if config.host is not None:
        hosts = [(config.host, config.port, config.direct_tls)]
    else:
        hosts = await _services(domain) or [(domain, PORT, False)]
    found = []
    trouble: Trouble | None = None
    for host, port, direct_tls in hosts[:_MOST]:
        try:
            found += [Place(address, port, direct_tls) for address in await _addresses(host)]
        except Trouble as error:
            trouble = trouble or error
    if not found:
        assert trouble is not None
        raise trouble
    return found[:_MOST]


async def _services(domain: str) -> list[tuple[str, int, bool]]:
    """The SRV records (RFC 6120, XEP-0368) by priority and weight; none when nobody answers."""
    from aiodns import DNSResolver
    from slixmpp.xmlstream.resolver import get_SRV

    try:
        async with asyncio.timeout(_LIMIT), DNSResolver(timeout=_LIMIT / 2, tries=2) as resolver:
            records = await get_SRV(domain, PORT, [_DIRECT, _STARTTLS], resolver=resolver)
    except TimeoutError:
        return []
    return [(host, port, service == _DIRECT) for service, host, port in records if service and host not in ("", ".")]


async def _addresses(host: str) -> list[str]:
    try:
        return await addresses(host, _LIMIT)
    except TimeoutError:
        raise Trouble(f"no name server tells the address of {host}") from None
    except OSError as error:
        raise Trouble(f"the XMPP server {host} cannot be found ({error.strerror or error})") from None
