"""The learning-rate finder beside torch-lr-finder and fastai: same weights, samples, optimizer and seed."""

from pathlib import Path

import pytest

from benchmarks.diagnosis.data import prepare
from benchmarks.lr_find_table import Case, accuracy, likeness, ours, peers, snapped


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize(("model", "optimizer"), [("mlp", "sgd"), ("cnn", "adamw")])
def test_the_curve_is_like_the_peers_and_the_suggestion_no_worse(tmp_path: Path, model: str, optimizer: str) -> None:
    prepare(tmp_path / "digits", "digits", "plain", 0, 1200, 400)
    case = Case(tmp_path, "digits", model, optimizer, seed=0)
    curve = ours(case, "probe")
    found = list(peers(case))
    assert [likeness(curve, peer) > 0.9 for peer in found] == [True, True]
    theirs = {rule: accuracy(case, snapped(lr)) for peer in found for rule, lr in peer.suggested.items()}
    assert len(theirs) == 3
    assert accuracy(case, snapped(curve.suggested)) >= max(theirs.values()) - 0.02
