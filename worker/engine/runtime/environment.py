"""Versions and machine of this process, for whoever wants to run a job again."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from service.reports.environment import EnvironmentReport, MachineReport


def describe_environment(device: str, threads: int) -> EnvironmentReport:
    """What a run on `device` with so many threads depends on."""
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    versions = {
        "trainwright": version("trainwright"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }
    machine = MachineReport(
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        gpu=torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
    )
    return EnvironmentReport(versions={name: text for name, text in versions.items() if text}, machine=machine)


def _processor(facts: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name; its architecture where the system does not tell the name."""
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
