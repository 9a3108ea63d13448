"""What a worker does around its jobs: devices for its slots, and the cleanup after workers before it."""

from pathlib import Path

from service.store import attempts, jobs
from tests.worker.attempt.store_client import StoreClient
from worker.host import cleanup
from worker.host.devices import DevicePool, find_devices


def test_devices_are_asked_in_a_process_of_its_own_and_there_is_always_one() -> None:
    assert find_devices()[0]["device"] in ("cpu", "cuda:0")


def test_slots_take_different_devices_first_and_give_them_back() -> None:
    pool = DevicePool(["cuda:0", "cuda:1"], 3)
    with pool.borrow() as first, pool.borrow() as second, pool.borrow() as third:
        assert {first, second} == {"cuda:0", "cuda:1"}
        assert third == "cuda:0"
    with pool.borrow() as first, pool.borrow() as second:
        assert {first, second} == {"cuda:0", "cuda:1"}


def test_cleanup_removes_what_nothing_uses_and_keeps_what_runs(client: StoreClient) -> None:
    home = client.store.settings.home
    ended, running = client.submit(), client.submit()
    with client.store.begin() as session:
        attempts.claim(session, running, "w1", 60)
        dataset = jobs.get(session, running).dataset_id
    stays = [folder(home / "scratch" / running / "1"), folder(home / "cache" / "datasets" / str(dataset))]
    stays.append(folder(home / "cache" / "datasets" / ".being-fetched"))
    goes = [
        folder(home / "scratch" / running / "0"),
        folder(home / "scratch" / ended / "1"),
        folder(home / "scratch" / "unknown" / "1"),
        folder(home / "cache" / "datasets" / "unknown"),
    ]
    cleanup.clean_up(client.store)
    assert [path.exists() for path in stays] == [True] * 3
    assert [path.exists() for path in goes] == [False] * 4


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text("x")
    return path
