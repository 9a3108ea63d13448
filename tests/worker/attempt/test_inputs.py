"""What an attempt is given: values of earlier jobs, datasets fetched once, the newest sound checkpoint."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.models import weights
from service.settings import Settings
from service.specs.part import FromJob
from service.specs.tune import SearchFields
from service.states import JobState
from service.store import attempts, files, jobs
from service.store.session import Store
from tests.service.models.weight_files import safetensors
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.searches import search
from tests.worker.attempt.store_client import StoreClient
from worker.attempt.inputs import Inputs, discard, gather


@pytest.fixture
def shared(database_url: str, home: Path) -> Iterator[StoreClient]:
    """A store that keeps its files in the database, with the digits."""
    store = Store(Settings(home=home, database_url=database_url, artifact_url="database:"))
    client = StoreClient(store)
    Attempt(store, client.create_digits()).run()
    yield client
    store.close()


def inputs(client: StoreClient, job_id: str) -> Inputs:
    """Claims the job and gathers its inputs."""
    with client.store.begin() as session:
        claim = attempts.claim(session, job_id, "w1", 60)
    assert claim is not None
    return gather(client.store, claim, device="cpu", threads=1)


def test_jobs_share_one_copy_of_a_dataset_that_lies_in_the_database(shared: StoreClient) -> None:
    first, second = (inputs(shared, shared.submit()).context.dataset for _ in range(2))
    assert first is not None
    assert first == second
    assert sorted(path.name for path in first.iterdir()) == ["meta.json", "split.npy", "x.npy", "y.npy"]
    assert [path for path in first.parent.iterdir() if path != first] == []


def test_a_job_trains_with_everything_in_the_database(shared: StoreClient) -> None:
    job_id = shared.submit(epochs=2)
    Attempt(shared.store, job_id).run()
    assert shared.job(job_id).state == JobState.SUCCEEDED, shared.job(job_id).error
    with shared.store.read() as session:
        row = files.named(session, job_id, "model.safetensors")
    assert sum(len(piece) for piece in shared.store.artifacts.read(row.artifact)) == row.size


def test_a_dataset_that_lies_in_a_folder_is_used_where_it_is(client: StoreClient) -> None:
    dataset = inputs(client, client.submit()).context.dataset
    assert dataset is not None
    assert dataset.is_relative_to(client.store.settings.home / "artifacts")


def test_the_lr_that_an_earlier_job_recommends_is_put_in_its_place(client: StoreClient) -> None:
    lr_find = client.submit(kind="lr-find")
    Attempt(client.store, lr_find).run()
    job_id = client.submit(
        epochs=1, schedule={"name": "constant"}, optimizer={"name": "sgd", "lr": {"from_job": lr_find}}
    )
    Attempt(client.store, job_id).run()
    assert client.job(job_id).state == JobState.SUCCEEDED, client.job(job_id).error
    suggested = client.report(lr_find)["suggested"]
    assert [value for _, value in client.series(job_id)["lr/group0"]] == pytest.approx([suggested] * 23)
    assert client.job(job_id).spec["optimizer"]["lr"] == FromJob(from_job=lr_find).model_dump()


def test_a_checkpoint_whose_hash_is_wrong_is_passed_over(client: StoreClient) -> None:
    job_id = client.submit(epochs=3, early_stopping=None, checkpoint={"every_steps": 30})
    with client.store.begin() as session:
        claim = attempts.claim(session, job_id, "w1", 60)
        assert claim is not None
    for step, text in ((10, "older"), (20, "newer")):
        save(client, job_id, step, text)
    with client.store.read() as session:
        newest = files.of(session, job_id, "last")[0]
    path = client.store.artifacts.local_path(newest.artifact)
    assert path is not None
    path.write_text("broken")
    resume_from = gather(client.store, claim, device="cpu", threads=1).context.resume_from
    assert resume_from is not None
    assert resume_from.read_text() == "older"


def save(client: StoreClient, job_id: str, step: int, text: str) -> None:
    path = client.store.settings.home / "state"
    path.write_text(text)
    with client.store.begin() as session:
        stored = client.store.artifacts.put(f"jobs/{job_id}/{step}", path)
        files.put(session, job_id, f"step-{step}", "last", stored, step=step)


def test_scratch_files_of_a_later_attempt_stay(client: StoreClient) -> None:
    job_id = client.submit()
    with client.store.begin() as session:
        claim = attempts.claim(session, job_id, "w1", 60)
    assert claim is not None
    scratch = gather(client.store, claim, device="cpu", threads=1).context.scratch
    later = scratch.parent / "2"
    later.mkdir()
    discard(client.store, claim.fence)
    assert list(scratch.parent.iterdir()) == [later]


def test_the_limits_of_a_resumed_search_reach_its_trials(client: StoreClient) -> None:
    job_id = search(client, parallelism=1)
    with client.store.begin() as session:
        jobs.get(session, job_id).limits = {"trial_seconds": 7.0}  # as a resume leaves them
    spec = inputs(client, job_id).spec
    assert isinstance(spec, SearchFields)
    assert spec.limits.trial_seconds == 7


def test_uploaded_weights_are_fetched(client: StoreClient, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(safetensors({"a": [1]}))
    weights.create(client.store, "mine", file, None)
    model = {"family": "torchvision", "arch": "resnet18", "weights": {"upload": "mine"}}
    path = inputs(client, client.submit(model=model)).context.weights
    assert path is not None
    assert path.read_bytes() == safetensors({"a": [1]})
