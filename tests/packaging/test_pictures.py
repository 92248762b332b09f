"""The pictures in the README: of what the commands show now."""

from __future__ import annotations

import importlib.util
import os
import re
import xml.etree.ElementTree as ET
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from autosync.console.demo.tour import steps

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def pictures():
    loader = SourceFileLoader("pictures", str(ROOT / "packaging" / "pictures"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("pictures", loader))
    loader.exec_module(module)
    return module


def lines(svg: str) -> list[str]:
    """What a person reads in a picture, line by line, without the blanks: those are empty places."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if element.get("clip-path"):
            rows.setdefault(float(element.get("y")), []).append((float(element.get("x")), element.text))
    return ["".join("".join(text.split()) for _, text in sorted(row)) for _, row in sorted(rows.items())]


@pytest.mark.parametrize("name", ["demo.svg", "status.svg"])
def test_the_readme_shows_them_and_nothing_comes_from_elsewhere(name):
    assert f"(docs/pictures/{name})" in (ROOT / "README.md").read_text()
    text = (FOLDER / name).read_text()
    assert lines(text)
    assert "url(http" not in text
    assert set(re.findall(r"https?://[^\s\"]+", text)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}


def test_the_demo_is_the_present_one():
    seen = "".join(lines((FOLDER / "demo.svg").read_text()))
    for number, step in enumerate(steps(), 1):
        for text in (f"{number}. {step.title}", *step.typed):
            assert "".join(text.split()) in seen, "make it anew: .venv/bin/python packaging/pictures"
    assert "allofithappened" in seen


def test_the_status_shows_what_needs_a_person():
    seen = "".join(lines((FOLDER / "status.svg").read_text()))
    for text in ("~/notes", "in sync", "~/papers", "1 file held back", "paused", "1 of 3 needs you"):
        assert "".join(text.split()) in seen


def test_a_real_command_becomes_a_picture(pictures, tmp_path):
    environment = os.environ | {"TERM": "xterm-256color", "HOME": str(tmp_path)}
    shown = pictures.run(["autosync", "--version"], environment)
    assert lines(pictures.svg(shown, "a <title>", "x"))[0].startswith("autosync")
    coloured = pictures.svg("\x1b[1;31m  red \x1b[0m& plain\r\nsecond", "t", "x")
    assert lines(coloured) == ["red&plain", "second"]
    with pytest.raises(SystemExit):
        pictures.run(["autosync", "nonsense"], environment)
