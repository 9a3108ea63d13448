"""The parts of a training run: loop, step, state, optimizers, checkpoints, measurements."""
