"""The operation log over power cuts and full disks."""

from __future__ import annotations

from autosync.common import operations
from autosync.common.operations import Operation, OperationLog


def test_half_a_line_costs_no_other(tmp_path):
    path = tmp_path / "operations.jsonl"
    log = OperationLog(path)
    log.append(Operation("/notes", "commit"))
    path.write_bytes(path.read_bytes() + b'{"repository": "/no')
    log.append(Operation("/notes", "push"))
    assert [found.action for found in log.read()] == ["commit", "push"]


def test_it_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(operations, "LIMIT", 1000)
    log = OperationLog(tmp_path / "operations.jsonl")
    for number in range(100):
        log.append(Operation("/notes", "commit", detail=str(number)))
    kept = [found.detail for found in log.read()]
    assert 10 < len(kept) < 40
    assert kept == [str(number) for number in range(100 - len(kept), 100)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2500
