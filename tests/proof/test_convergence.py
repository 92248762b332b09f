"""Whatever happens on the way, in the end all machines are equal and no content is lost."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.machine import Machines

# The long run sets these; here it is to take seconds.
EXAMPLES = int(os.environ.get("PROOF_EXAMPLES", "10"))
STEPS = int(os.environ.get("PROOF_STEPS", "20"))


def test_machines_converge_and_lose_nothing():
    run_state_machine_as_test(
        Machines,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
            print_blob=True,
        ),
    )
