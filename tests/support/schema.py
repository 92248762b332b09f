"""Whether elements are what docs/autosync.xsd declares, by xmllint(1)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from .programs import need

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "autosync.xsd"
NAMESPACE = "urn:autosync:0"


def own(*stanzas: ET.Element) -> list[ET.Element]:
    """The elements of ours in stanzas."""
    return [element for stanza in stanzas for element in stanza.iter() if element.tag.startswith(f"{{{NAMESPACE}}}")]


def valid(elements: Sequence[ET.Element], folder: Path) -> list[bool]:
    """For each element whether it is valid."""
    assert elements
    files = [folder / f"element-{number}.xml" for number in range(len(elements))]
    for file, element in zip(files, elements, strict=True):
        file.write_bytes(ET.tostring(element, encoding="utf-8"))
    argv = [need("xmllint", "libxml2-utils"), "--nonet", "--noout", "--schema", SCHEMA, *files]
    said = subprocess.run(argv, capture_output=True, text=True).stderr.splitlines()
    assert {line.rpartition(" ")[2] for line in said} >= {"validates"} or "fails to validate" in " ".join(said), said
    return [f"{file} validates" in said for file in files]
