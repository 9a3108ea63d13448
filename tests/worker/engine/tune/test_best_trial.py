"""The best trial's model and reports are the job's own, whoever trained it; other seeds confirm it."""

from pathlib import Path

from service.events import FileSaved, Log, Progress, RunnersWanted
from service.specs.train import TrainSpec
from service.states import StopReason
from tests.worker.engine.runs import ended_by, epochs_of, only, reports_of, train
from tests.worker.engine.searches import BASE, beside, events_of, make_spec, result_of, study_url, tune, until


def test_best_trial_is_what_a_train_job_of_its_spec_gives(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path / "tune", make_spec(n_trials=2, pruner="none", confirm_seeds=0))
    best = result_of(events).best
    assert best is not None
    spec = TrainSpec.model_validate({"kind": "train"} | BASE | {"optimizer": {"lr": best.params["optimizer.lr"]}})
    (tmp_path / "train").mkdir()
    alone = train(few_digits, tmp_path / "train", spec)
    assert max(epoch[3]["accuracy"] for epoch in epochs_of(alone)) >= (best.value or 0.0)
    assert reports_of(alone)["result"].best["accuracy"] == best.value
    assert reports_of(alone)["report:test"] == reports_of(events)["report:test"]
    assert [epoch[:5] for epoch in epochs_of(events)] == [epoch[:5] for epoch in epochs_of(alone)]
    assert reports_of(events)["checkup"] == reports_of(alone)["checkup"]
    found = result_of(events).best_result
    assert found is not None
    assert found.test == reports_of(alone)["result"].test


def test_best_trial_that_was_trained_elsewhere_is_trained_again(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=2, pruner="none")
    done = tune(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path))
    again = tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path))
    assert any("is trained again here" in event.message for event in only(again, Log))
    assert result_of(again).data == result_of(done).data
    assert reports_of(again)["report:test"] == reports_of(done)["report:test"]


def test_best_trial_of_another_runner_becomes_the_jobs_own(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=3, pruner="none", parallelism=2)
    saved: dict[str, Path] = {}
    own = events_of(
        few_digits,
        tmp_path / "main",
        spec,
        study_url=study_url(tmp_path),
        trial_state=lambda number: saved.get(f"trial-{number:05d}.pt"),
    )
    events = until(own, lambda event: isinstance(event, RunnersWanted))
    saved |= {event.name: event.path for event in only(beside(few_digits, tmp_path, spec, 2), FileSaved)}
    events += own
    best = result_of(events).best
    assert best is not None
    assert best.runner == "runner-2"
    assert not any("is trained again here" in event.message for event in only(events, Log))
    assert reports_of(events)["best"].best["accuracy"] == best.value
    assert [epoch[3]["accuracy"] for epoch in epochs_of(events) if epoch[5]][-1] == best.value
    assert [event.name for event in only(events, FileSaved)] == [
        f"trial-{best.number:05d}.pt",
        "best.safetensors",
        "model.safetensors",
    ]


def test_stop_while_the_best_trial_is_trained_again_publishes_no_other_one(few_digits: Path, tmp_path: Path) -> None:
    """This process has run the first trial, the worst, and a runner the better ones."""
    spec = make_spec(n_trials=3, pruner="none", parallelism=2, train={"optimizer": {"lr": 1e-4}})
    reasons: list[StopReason] = []
    own = events_of(
        few_digits,
        tmp_path / "main",
        spec,
        study_url=study_url(tmp_path),
        stop=lambda: reasons[-1] if reasons else None,
    )
    until(own, lambda event: isinstance(event, Progress))
    list(beside(few_digits, tmp_path, spec, 2))
    until(own, lambda event: isinstance(event, Log) and "is trained again here" in event.message)
    reasons.append(StopReason.PAUSED)
    events = list(own)
    assert ended_by(events) is StopReason.PAUSED
    assert set(reports_of(events)) == {"result"}
    assert not only(events, FileSaved)


def test_other_seeds_say_how_far_results_lie_apart(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec(n_trials=2, pruner="none", confirm_seeds=2))
    assert any("with seeds 42 to 44" in note and "standard deviation" in note for note in result_of(events).notes)
    assert [event.message.split(":")[0] for event in only(events, Log) if event.message.startswith("seed")] == [
        "seed 43",
        "seed 44",
    ]
