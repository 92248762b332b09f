"""What every service does alike."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

HANGING = """
import asyncio, threading, sys, time
from autosync.common.service import run_until_stopped
from autosync.common.systemd import ServiceManager

async def body():
    print("started", flush=True)
    # as a look at a file system that does not answer
    await asyncio.to_thread(time.sleep, 600)

sys.exit(run_until_stopped(body, ServiceManager()))
"""


def test_a_thread_that_hangs_keeps_no_service_from_stopping():
    process = subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert time.monotonic() - started < 60.0


FAILING = """
import asyncio, sys, time
from autosync.common.errors import Problem
from autosync.common.service import run_until_stopped
from autosync.common.systemd import ServiceManager

async def body():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    raise {error}

sys.exit(run_until_stopped(body, ServiceManager()))
"""


@pytest.mark.parametrize(("error", "code"), [("RuntimeError('a bug')", 3), ("Problem('trouble', 'mend it')", 1)])
def test_nor_one_that_fails(error, code):
    script = FAILING.format(error=error)
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == code
    assert error.partition("(")[0].encode() in ended.stderr
