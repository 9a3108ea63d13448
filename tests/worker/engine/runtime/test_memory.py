"""Out of memory ends a run with the batch size's name and the next smaller one."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from service.errors import OutOfMemoryError
from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import spec_of
from worker.engine.runtime.memory import container_memory, free_memory, is_out_of_memory, out_of_memory

CODE = """
import pathlib, resource, sys
from service.errors import OutOfMemoryError
from service.specs.train import TrainSpec
from worker.engine import run
from worker.engine.context import RunContext
import worker.engine.kinds.train

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

data, scratch, spec = sys.argv[1:]
events = run(TrainSpec.model_validate_json(spec), RunContext(scratch=pathlib.Path(scratch), dataset=pathlib.Path(data)))
next(events)
resource.setrlimit(resource.RLIMIT_AS, (used() + 400 * 2**20,) * 2)
try:
    for event in events:
        pass
except OutOfMemoryError as error:
    print(error.detail)
    sys.exit(7)
"""


def test_memory_limit_ends_the_run_with_the_next_smaller_batch_size(tmp_path: Path) -> None:
    x = np.zeros((3000, 32, 32, 3), np.uint8)
    data = pack(tmp_path / "data", x, np.arange(3000) % 10, np.repeat(np.array([0, 1, 2], np.uint8), 1000))
    spec = spec_of(batch_size=1000, model={"family": "cnn", "channels": [64, 64]})
    command = [sys.executable, "-c", CODE, str(data), str(tmp_path), spec.model_dump_json()]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.stdout.strip() == "batch_size 1000 does not fit into memory; try 500", ended.stderr
    assert ended.returncode == 7


def test_error_names_what_can_still_be_made_smaller() -> None:
    assert "try 32" in out_of_memory(64).detail
    assert "smaller model" in out_of_memory(1).detail
    assert isinstance(out_of_memory(8), OutOfMemoryError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_errors_are_told_from_others(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_containers_limit_bounds_what_is_free(tmp_path: Path) -> None:
    limit, used, statistics = (tmp_path / name for name in ("max", "current", "stat"))
    assert container_memory(limit, used, statistics) is None
    limit.write_text("1000000\n")
    used.write_text("700000\n")
    statistics.write_text("anon 500000\ninactive_file 200000\n")
    assert container_memory(limit, used, statistics) == 500_000
    limit.write_text("max\n")
    assert container_memory(limit, used, statistics) is None


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    whole = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_memory(torch.device("cpu")) <= whole
