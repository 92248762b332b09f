"""How many descriptors this process may have open at once."""

from __future__ import annotations

import resource


def allow(wanted: int) -> int:
    """Raise the soft limit towards ``wanted``, as far as the hard one allows; returns the limit (getrlimit(2)). What is
    already more stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
