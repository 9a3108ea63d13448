"""Where an attempt ran: what its numbers depend on besides the spec and the data."""

from service.reports.part import ReportPart


class MachineReport(ReportPart):
    """The machine of an attempt."""

    platform: str
    """Operating system, its version, and the processor's architecture."""
    processor: str
    instructions: str
    """The widest vector instructions that torch's kernels use, e.g. `AVX512`."""
    cores: int
    """That the process may use."""
    threads: int
    """That torch computes with; a resumed run is the same bit for bit with as many."""
    gpu: str | None
    """The GPU that the attempt could use; null: none."""


class EnvironmentReport(ReportPart):
    """Versions and machine of a job's last attempt."""

    versions: dict[str, str]
    """Of `trainwright`, `python`, `torch`, `torchvision`, `numpy`; of `cuda` and `cudnn` where torch has them."""
    machine: MachineReport
