"""The engine without a service, as a plain script or a notebook uses it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path

from service.specs import JOB_SPEC
from service.specs.dataset import ImportSpec
from worker.engine import run
from worker.engine.context import RunContext
from worker.importing.import_job import run_import

importing = ImportSpec.model_validate({{"kind": "import", "dataset": "mine", "source": {source}}})
for event in run_import(importing, RunContext(scratch=Path("data"), data_roots=(Path.cwd(),))):
    print(event)
spec = JOB_SPEC.validate_python({{"kind": "train", "dataset": "mine", "epochs": 1}})
for event in run(spec, RunContext(scratch=Path("run"), dataset=Path("data/packed"))):
    print(event)
print({{"celery", "fastapi", "sqlalchemy"}} & set(sys.modules))
"""
TABLE = "width,height,label\n" + "".join(f"{n % 7},{n % 11},{'wide' if n % 7 > 3 else 'narrow'}\n" for n in range(200))


@pytest.mark.parametrize("source", [{"kind": "builtin", "name": "digits"}, {"kind": "path", "path": "table.csv"}])
def test_a_script_imports_data_and_trains_on_it_without_a_service(tmp_path: Path, source: dict[str, str]) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    program = [sys.executable, "-c", SCRIPT.format(source=source)]
    environment = {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert any(line.startswith("Reported(name='report:test'") for line in lines)
    assert lines[-2:] == ["Stopped(reason=<StopReason.COMPLETED: 'completed'>)", "set()"]
    assert (tmp_path / "run" / "model.safetensors").is_file()
