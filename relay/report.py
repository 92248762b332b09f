"""What `status` shows of a repository (docs/protocol.md)."""

from __future__ import annotations

from typing import Any

from .worker import Worker


def report(worker: Worker) -> dict[str, Any]:
    """The worker's repository as a JSON object."""
    seen, failure = worker.seen, worker.failure
    error = failure and {"what": failure.what, "remedy": failure.remedy, "since": worker.condition.failing_since}
    upstream = seen.upstream if seen else None
    return {
        "path": str(worker.repo.path),
        "id": worker.identity.id,
        "state": worker.status.name,
        "reason": worker.status.reason,
        "remedy": worker.status.remedy,
        "branch": seen.branch.removeprefix("refs/heads/") if seen and seen.branch else None,
        "head": seen.head if seen else None,
        "upstream": f"{upstream.remote}/{upstream.ref.removeprefix('refs/heads/')}" if upstream else None,
        "ahead": seen.ahead if seen else 0,
        "behind": seen.behind if seen else 0,
        "last_error": error,
        "last_sync": worker.condition.last_sync,
        "progress": worker.progress,
    }
