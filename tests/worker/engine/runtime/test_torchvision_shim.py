"""The torchvision shim: as it is here, and in fresh processes with an extension that loads and one that cannot."""

import importlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch

from worker.engine.runtime.torchvision_shim import define_missing_operators, torchvision

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def run(code: str, *path: Path) -> str:
    """Output of `code` in a fresh interpreter, with folders first on the module path."""
    lines = "import sys\n" + "".join(f"sys.path.insert(0, {str(each)!r})\n" for each in path) + code
    done = subprocess.run([sys.executable, "-W", "error", "-c", lines], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def fake_torchvision(folder: Path, extension: Path) -> Path:
    """A package named torchvision that holds nothing but an extension."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("is_fake = True\n")
    shutil.copyfile(extension, package / f"_C{SUFFIX}")
    return folder


SAY = (
    "from worker.engine.runtime.torchvision_shim import torchvision, extension_loads\n"
    "import torch\n"
    "print(extension_loads(), hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))"
)


def test_models_transforms_and_datasets_import() -> None:
    assert len(torchvision.models.list_models(module=torchvision.models)) >= 80
    assert importlib.import_module("torchvision.transforms.v2").Resize(8)
    assert torchvision.datasets.FashionMNIST.__name__ == "FashionMNIST"


def test_operators_that_exist_are_not_defined_again() -> None:
    nms = torch.ops.torchvision.nms.default
    define_missing_operators()
    assert torch.ops.torchvision.nms.default is nms


def test_an_extension_that_cannot_load_gets_schemas(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library at all")
    assert run(SAY, fake_torchvision(tmp_path, broken)) == "False True True"


def test_an_extension_that_loads_is_left_alone(tmp_path: Path) -> None:
    library = next((Path(torch.__file__).parent / "lib").glob("libtorch_global_deps*"))
    assert run(SAY, fake_torchvision(tmp_path, library)) == "True False False"
