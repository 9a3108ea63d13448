"""Sources of datasets: what is unknown is refused at once, with what is near it."""

from typing import Any

import pytest

from service.specs.dataset import DatasetRequest


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "CIFAR11"}, "did you mean `CIFAR10`"),
        ({"name": "CocoCaptions"}, "no classification dataset"),
        ({"name": "EMNIST", "variant": "upper"}, "balanced, byclass"),
        ({"name": "CIFAR10", "variant": "x"}, "it has none"),
    ],
)
def test_unknown_names_are_refused_at_once(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetRequest.model_validate({"name": "a", "source": {"kind": "torchvision"} | fields})
