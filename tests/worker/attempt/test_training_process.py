"""Training processes are forked from a server that has imported what they need."""

from worker.attempt.training_process import CONTEXT, PRELOAD


def test_a_training_process_starts_with_every_preloaded_module() -> None:
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=exec, args=("import sys; pipe.send(set(sys.modules))", {"pipe": sender}))
    process.start()
    sender.close()
    modules = receiver.recv()
    process.join()
    assert modules >= {*PRELOAD, "torch", "optuna"}
