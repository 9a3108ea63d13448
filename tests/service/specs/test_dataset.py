"""Sources of datasets: what is unknown is refused at once, with what is near it."""

from typing import Any

import pytest

from service.specs.dataset import DatasetRequest, UploadFields


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


@pytest.mark.parametrize("name", ["018f0000-0000-7000-8000-000000000001", "018F0000-0000-7000-8000-00000000000A"])
def test_a_name_may_not_look_like_an_id(name: str) -> None:
    with pytest.raises(ValueError, match="may not look like an id"):
        DatasetRequest.model_validate({"name": name, "source": {"kind": "builtin"}})
    with pytest.raises(ValueError, match="may not look like an id"):
        UploadFields(name=name, filename="a.zip")
    assert UploadFields(name=f"{name}-2", filename="a.zip").name == f"{name}-2"
