"""The devices of this host, and which slot works on which."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from worker.attempt.training_process import CONTEXT


def find_devices() -> list[dict[str, Any]]:
    """What `GET /v1/workers` shows of each device; asked in a child, since a process that used CUDA must not fork."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send_devices, args=(sender,))
    process.start()
    sender.close()
    try:
        devices: list[dict[str, Any]] = receiver.recv()
    except EOFError:
        raise RuntimeError("no devices were found: torch does not start in a process of its own") from None
    process.join()
    return devices


def _send_devices(pipe: Connection) -> None:
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
        """A device while the context lasts; there is one for each slot."""
        name = self._free.popleft()
        try:
            yield name
        finally:
            self._free.appendleft(name)
