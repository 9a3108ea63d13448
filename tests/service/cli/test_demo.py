"""`trainwright demo`: the whole service once, as a new user sees it."""

import os
import re
import subprocess
from pathlib import Path

from tests.service.cli.service_process import command
from tests.worker.attempt.processes import ROOT


def test_the_demo_trains_on_real_data_and_ends_all_it_started(tmp_path: Path) -> None:
    finished = subprocess.run(
        command("demo"),
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": "/tmp",
            "TRAINWRIGHT_DATABASE_URL": "sqlite:////nowhere/x",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    accuracy = re.search(r"test accuracy: (0\.\d+)", finished.stdout)
    assert accuracy is not None, finished.stdout
    assert float(accuracy.group(1)) >= 0.95
    for line in ("sanity: passed", "recommended lr: ", "confusion matrix", "diagnosis: ", "/docs", "/v1/jobs/"):
        assert line in finished.stdout
    home = re.search(r"home: +(\S+)", finished.stdout)
    assert home is not None
    assert not Path(home.group(1)).exists()
