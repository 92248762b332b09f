from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.watcher.watched import Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    """Makes repositories with a watcher; all are stopped at the end."""
    made: list[Watched] = []

    def make(settings: str = "settle = 0.1", start: bool = True, folder: Path | None = None, **how: object) -> Watched:
        one = Watched(folder or tmp_path, settings, **how)  # type: ignore[arg-type]
        made.append(one)
        return one.start() if start else one

    yield make
    for one in made:
        one.stop()
