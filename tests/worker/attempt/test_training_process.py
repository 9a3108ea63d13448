"""Training processes are forked from a server that has imported what they need."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.specs import STORED_SPEC
from tests.faults.campaign.programs import descendants
from tests.polling import eventually
from tests.worker.attempt.processes import ROOT, has_ended, training_process_of
from worker.attempt.inputs import Inputs
from worker.attempt.training_process import TrainingProcess, WaitingProcesses
from worker.engine.context import RunContext

PROGRAM = """
from worker.attempt.training_process import CONTEXT, PRELOAD, start_forkserver

start_forkserver()
receiver, sender = CONTEXT.Pipe(duplex=False)
process = CONTEXT.Process(target=exec, args=("import sys; pipe.send(set(sys.modules))", {"pipe": sender}))
process.start()
print("missing:", {*PRELOAD, "torch", "optuna"} - receiver.recv())
process.join()
"""


def test_a_training_process_starts_with_every_preloaded_module() -> None:
    """In a process of its own: this one may have a server already that another test started."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "missing: set()"


def test_a_stopped_process_is_seen_to_be_stopped_and_moves_no_bytes(tmp_path: Path) -> None:
    spec = STORED_SPEC.validate_python({"kind": "import", "dataset": "digits", "source": {"kind": "builtin"}})
    process = TrainingProcess()
    try:
        process.run(Inputs(spec, RunContext(scratch=tmp_path)), None)
        assert not process.is_stopped
        os.kill(training_process_of(os.getpid()), signal.SIGSTOP)
        eventually(lambda: process.is_stopped)
        assert process.has_moved_bytes()
        assert not process.has_moved_bytes()
    finally:
        process.close()


def test_a_process_that_died_while_it_waited_is_not_taken_and_none_outlives_its_owner() -> None:
    processes, before = WaitingProcesses(), set(descendants(os.getpid()))
    processes.add()
    (first,) = set(descendants(os.getpid())) - before
    os.kill(first, signal.SIGKILL)
    eventually(lambda: has_ended(first))
    taken = processes.take()
    assert taken.is_alive
    taken.close()
    processes.add()
    processes.close()
    eventually(lambda: set(descendants(os.getpid())) <= before)
