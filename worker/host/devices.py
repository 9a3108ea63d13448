"""The devices of this host, and which slot works on which."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from worker.attempt.training_process import CONTEXT


def find_devices() -> list[dict[str, Any]]:
    """What `GET /v1/workers` shows of each device. Asked in a process of its own: a parent that has touched CUDA must
    not fork."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_tell, args=(theirs,))
    process.start()
    theirs.close()
    try:
        found: list[dict[str, Any]] = ours.recv()
    except EOFError:
        raise RuntimeError("the devices cannot be asked: torch does not start in a process of its own") from None
    process.join()
    return found


def _tell(pipe: Connection) -> None:
    import torch

    cuda = [
        {
            "device": f"cuda:{index}",
            "name": torch.cuda.get_device_name(index),
            "memory_bytes": torch.cuda.get_device_properties(index).total_memory,
        }
        for index in range(torch.cuda.device_count())
    ]
    pipe.send(cuda or [{"device": "cpu"}])


class DevicePool:
    """One device a slot; with more slots than devices, slots share them evenly."""

    def __init__(self, names: list[str], slots: int) -> None:
        self._free = deque(names[slot % len(names)] for slot in range(slots))

    @contextmanager
    def borrow(self) -> Iterator[str]:
        """A device for as long as the context lasts; there is always one for each slot."""
        name = self._free.popleft()
        try:
            yield name
        finally:
            self._free.appendleft(name)
