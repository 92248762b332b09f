"""Signs that the network may be back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys

import pytest

from autosync.relay.wakeups import wakeups


async def _woken_by(cause) -> None:
    woken = asyncio.Event()
    with wakeups(woken.set):
        cause()
        async with asyncio.timeout(30):
            await woken.wait()


def test_a_stopped_process_that_goes_on():
    asyncio.run(_woken_by(lambda: os.kill(os.getpid(), signal.SIGCONT)))


_IN_A_NETWORK_OF_ITS_OWN = """
import asyncio, subprocess
from tests.relay.test_wakeups import _woken_by
asyncio.run(_woken_by(lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True)))
print("woken")
"""


def test_a_network_that_comes_up():
    argv = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"]), sys.executable]
    if not shutil.which("ip") or subprocess.run([*argv, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("needs iproute2 and the right to make a network namespace")
    done = subprocess.run([*argv, "-c", _IN_A_NETWORK_OF_ITS_OWN], capture_output=True, text=True, check=False)
    assert done.stdout == "woken\n", done.stderr


def test_nothing_is_left_behind():
    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(_woken_by(lambda: os.kill(os.getpid(), signal.SIGCONT)))
    assert len(os.listdir("/proc/self/fd")) == before
    assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL
