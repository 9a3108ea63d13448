"""Out of memory: how to tell, and the error that says what to do about it."""

import torch

from service.errors import OutOfMemoryError

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or the allocator ran out of memory; on the CPU torch says so in a RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
    )


def out_of_memory(batch_size: int) -> OutOfMemoryError:
    """The error that names the batch size and the next smaller one."""
    advice = f"try {batch_size // 2}" if batch_size > 1 else "try a smaller model or smaller images"
    return OutOfMemoryError(f"batch_size {batch_size} does not fit into memory; {advice}")
