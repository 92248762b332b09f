"""The brake on mass deletion: an emptied root or a vanished share of the files is more likely an accident
(a disk that is not mounted, a wrong `rm`) than a wish."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """``share`` (0 to 1) of the tracked files, and at least ``count`` of them."""

    share: float
    count: int


def brakes(vanished: int, tracked: int, root_empty: bool, limits: Limits) -> bool:
    """Whether a person has to confirm. ``vanished`` files were among ``tracked`` at the last commit and are nowhere
    in the tree now, moved ones not counted."""
    if not vanished:
        return False
    return root_empty or (vanished >= max(1, limits.count) and vanished > limits.share * tracked)
