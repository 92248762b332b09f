"""What becomes of an exception that nobody expected: an exit code, and one report for each bug."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

from autosync.common.errors import EXIT_BUG, EXIT_OK, exit_code, write_report


def raised(error: Exception) -> Exception:
    """The error as one that came from here."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - any
        return caught


def test_a_bug_has_one_report_however_often_it_is_met(tmp_path):
    (report,) = {write_report(raised(ValueError(f"time {number}")), tmp_path) for number in range(3)}
    assert list(tmp_path.iterdir()) == [report]
    assert "ValueError: time 2" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600
    # of another place, though it looks the same
    assert write_report(ValueError("time 2"), tmp_path) != report


def test_the_oldest_reports_go_and_nothing_else(tmp_path):
    operations = tmp_path / "operations.jsonl"
    operations.touch()
    old = [tmp_path / f"bug-{number}.txt" for number in range(30)]
    for number, report in enumerate(old):
        report.touch()
        os.utime(report, (number, number))
    for time in ("first", "again"):
        new = write_report(raised(ValueError(time)), tmp_path)
        assert set(tmp_path.iterdir()) == {*old[11:], operations, new}


def test_a_report_that_cannot_be_written_is_printed(tmp_path, capsys):
    (tmp_path / "state").touch()
    secret = "se" + "cret"

    def body() -> None:
        raise ValueError(f"https://rene:{secret}@example.org/")

    assert exit_code("autosync", body, lambda: tmp_path / "state") == EXIT_BUG
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("https://example.org/). The details are above; please report it.\n")
    assert f"{secret}@" not in said


def test_output_that_nobody_reads_any_more_is_no_bug(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    program = (
        "import sys; from pathlib import Path; from autosync.common.errors import exit_code\n"
        "sys.exit(exit_code('autosync', lambda: print('a line', flush=True), lambda: Path(sys.argv[1])))"
    )
    try:
        argv = [sys.executable, "-c", program, tmp_path]
        done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_OK, b"")
    assert list(tmp_path.iterdir()) == []


def test_another_pipe_that_breaks_is_a_bug(tmp_path):
    """Else a service would end as if it had been asked to, and nothing would start it again."""
    said: list[str] = []

    def body() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert exit_code("autosync-relay", body, lambda: tmp_path, said.append) == EXIT_BUG
    assert said[0].startswith("autosync-relay: this is a bug in autosync (BrokenPipeError")
    assert len(list(tmp_path.glob("bug-*.txt"))) == 1
