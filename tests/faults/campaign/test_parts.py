"""The campaign's own tools: its plan, its journal, small volumes and the slow proxy."""

import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.campaign.__main__ import plan, short_plan
from tests.faults.campaign.faults import FAULTS, KILL_DATABASE
from tests.faults.campaign.homes import HOMES, DeployedHome
from tests.faults.campaign.journal import Journal, Trial, table
from tests.faults.campaign.proxy import SlowProxy
from tests.faults.campaign.volumes import Volume

CLEAN = Trial(7, "SQLite", "kill -9 of a worker", after_checkpoint=True, version="abc", recovery_seconds=2.0)


def test_every_fault_comes_to_every_home_before_and_after_a_checkpoint() -> None:
    times = Counter((kind.name, fault.name, after) for _, kind, fault, after in plan(2 * len(HOMES) * len(FAULTS)))
    assert len(times) == 2 * len(HOMES) * len(FAULTS)
    assert set(times.values()) == {1}


def test_the_short_form_has_every_fault_once_and_both_homes_before_and_after_a_checkpoint() -> None:
    planned = list(short_plan())
    assert [fault for _, _, fault, _ in planned] == list(FAULTS)
    assert {(kind, after) for _, kind, _, after in planned} == {(kind, after) for kind in HOMES for after in (0, 1)}
    assert next(kind for _, kind, fault, _ in planned if fault is KILL_DATABASE) is DeployedHome


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    Journal(tmp_path / "j.jsonl").add(CLEAN)
    journal = Journal(tmp_path / "j.jsonl")
    journal.add(replace(CLEAN, number=8, lost=["train"], recovery_seconds=4.0))
    assert [trial.number for trial in Journal(tmp_path / "j.jsonl").trials] == [7, 8]
    row = "| SQLite | kill -9 of a worker | 2 | 1 | 0 | 0 | 0 | 2 of 2 | 0 | 0 / 0 | 3.0 s (4.0 s) | 0 |"
    assert row in table(journal.trials).splitlines()


@pytest.mark.parametrize(
    "loss",
    [
        {"lost": ["train"]}, {"stuck": ["tune"]}, {"points_lost": 1}, {"points_doubled": 1}, {"unequal": ["train"]},
        {"from_start": 1}, {"faults": ["a gap"]}, {"attempts_lost": 1},
    ],
)  # fmt: skip
def test_any_loss_is_a_loss(loss: dict[str, object]) -> None:
    assert CLEAN.is_clean
    assert not replace(CLEAN, **loss).is_clean  # type: ignore[arg-type]
    assert replace(CLEAN, attempts_lost=1, attempts_excused=True).is_clean


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """A small volume, where this process may mount one."""
    small = Volume(tmp_path / "small", 8)
    if not small.is_mounted:
        pytest.skip("this process may not mount a tmpfs")
    yield small
    small.unmount()


def test_a_filled_volume_takes_nothing_until_it_is_emptied(volume: Volume) -> None:
    (volume.folder / "old").write_bytes(b"x" * 2**20)
    with volume.filled():
        with pytest.raises(OSError, match="No space left"):
            (volume.folder / "new").write_bytes(b"x" * 2**16)
        (volume.folder / "old").unlink()
        time.sleep(0.2)
        with pytest.raises(OSError, match="No space left"):
            (volume.folder / "other").write_bytes(b"x" * 2**20)
    (volume.folder / "new").write_bytes(b"x" * 2**20)
    assert shutil.disk_usage(volume.folder).used < 2**21


def test_the_proxy_delays_requests(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        proxy = SlowProxy(str(tmp_path / "s"))
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"quick")
            assert client.recv(99) == b"quick"
            proxy.delay_seconds, started = 0.2, time.monotonic()
            client.sendall(b"slow")
            assert client.recv(99) == b"slow"
            assert time.monotonic() - started >= 0.2
        proxy.close()


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(99):
            connection.sendall(data)
