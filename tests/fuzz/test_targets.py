"""Every place that takes bytes from elsewhere, with noise, with words of its language, and with damaged words."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .targets import SEEDS, TARGETS


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A well-formed input with some stretches replaced, repeated or left out."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        new = draw(st.one_of(st.binary(max_size=8), st.just(data[start:end] * 2), st.text(max_size=5).map(_bytes)))
        data = data[:start] + new + data[end:]
    return data


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_comes_in_does_harm(name):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=2000), damaged(SEEDS[name])))
    @example(b"")
    @example(b"\n" * 3000)
    @example(b"x" * 20_000)
    @example(b"[" * 20_000)
    def check(data: bytes) -> None:
        TARGETS[name](data)

    for seed in SEEDS[name]:
        TARGETS[name](seed)
    check()
