"""Training processes are forked from a server that has imported what they need."""

import os
import signal
from pathlib import Path

from service.specs import STORED_SPEC
from tests.polling import eventually
from tests.worker.attempt.processes import training_process_of
from worker.attempt.inputs import Inputs
from worker.attempt.training_process import CONTEXT, PRELOAD, TrainingProcess
from worker.engine.context import RunContext


def test_a_training_process_starts_with_every_preloaded_module() -> None:
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=exec, args=("import sys; pipe.send(set(sys.modules))", {"pipe": sender}))
    process.start()
    sender.close()
    modules = receiver.recv()
    process.join()
    assert modules >= {*PRELOAD, "torch", "optuna"}


def test_a_stopped_process_is_seen_to_be_stopped_and_moves_no_bytes(tmp_path: Path) -> None:
    spec = STORED_SPEC.validate_python({"kind": "import", "dataset": "digits", "source": {"kind": "builtin"}})
    process = TrainingProcess(Inputs(spec, RunContext(scratch=tmp_path)), None)
    try:
        assert not process.is_stopped
        os.kill(training_process_of(os.getpid()), signal.SIGSTOP)
        eventually(lambda: process.is_stopped)
        assert process.has_moved_bytes()
        assert not process.has_moved_bytes()
    finally:
        process.close()
