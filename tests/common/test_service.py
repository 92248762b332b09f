"""What every service does alike."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

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
