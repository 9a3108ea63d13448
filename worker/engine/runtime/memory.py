"""Memory: how much is free, how to tell that it ran out, and the error that says what to do about it."""

import errno
import resource
from pathlib import Path

import torch

from service.errors import OutOfMemoryError

MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "could not create a memory",
    "status_alloc_failed",
)
"""Parts of the messages of torch's CPU and CUDA allocators, the C++ library, oneDNN, cuBLAS and cuDNN."""
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Limit, use and statistics of the container's memory, in cgroups of version 2 and 1."""

LIMITS = ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize"))
"""The process's own limits on what it allocates and on all that it maps, and the status fields with its use of each."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or the allocator ran out of memory; on the CPU torch says so in a RuntimeError."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error).lower() for message in MESSAGES)
    )


def out_of_memory(batch_size: int) -> OutOfMemoryError:
    """The error that names the batch size and the next smaller one."""
    advice = f"try {batch_size // 2}" if batch_size > 1 else "try a smaller model or smaller images"
    return OutOfMemoryError(f"batch_size {batch_size} does not fit into memory; {advice}")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device; for the CPU the least of what the kernel, the container and the process's own
    limit allow.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with open("/proc/meminfo") as lines:
        available = next(line for line in lines if line.startswith("MemAvailable"))
    bounds = [int(available.split()[1]) * 1024, *(container_memory(*map(Path, files)) for files in CGROUPS)]
    for kind, used in LIMITS:
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            bounds.append(limit - status_bytes(used))
    return max(0, min(bound for bound in bounds if bound is not None))


def container_memory(limit: Path, used: Path, statistics: Path) -> int | None:
    """Bytes that a container may still take; what files are cached in can be given back. None without a limit."""
    try:
        most, taken = limit.read_text().strip(), int(used.read_text())
        counted = dict(line.split() for line in statistics.read_text().splitlines())
    except OSError:
        return None
    return int(most) - taken + int(counted.get("inactive_file", 0)) if most.isdigit() else None


def status_bytes(field: str) -> int:
    """A size out of this process's /proc/self/status: `VmRSS`, `VmHWM` (its peak), `VmSize`."""
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
