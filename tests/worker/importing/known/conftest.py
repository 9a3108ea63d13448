"""torchvision takes files that are made for tests for the official ones."""

import pytest

from worker.engine.runtime.torchvision_shim import torchvision


@pytest.fixture
def any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision takes the tiny files for the official ones."""
    monkeypatch.setattr(torchvision.datasets.utils, "check_md5", lambda *_: True)
