"""How long a submission keeps others from writing, with the largest body that is accepted."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from benchmarks.measure import Measure
from service.jobs.idempotency import Answer, answer_once
from service.jobs.submit import prepare
from service.settings import load_settings
from service.specs import JOB_SPEC
from service.store.migrate import upgrade
from service.store.session import Store

ROUNDS = 20
TARGET_MILLISECONDS = 100
SEARCHED = ("optimizer.lr", "optimizer.weight_decay", "loss.label_smoothing", "clip_norm", "model.dropout")
LARGEST: dict[str, Any] = {
    "kind": "tune",
    "name": "x" * 200,
    "labels": {f"{number:099}": "y" * 200 for number in range(50)},
    "train": {"dataset": "digits", "model": {"family": "mlp"}},
    "search_space": {
        path: {"type": "categorical", "choices": [(number + 1) / 1000 for number in range(100)]} for path in SEARCHED
    },
    "n_trials": 10_000,
}
"""A search with as many values, labels and trials as may be, on data whose import the submission starts."""


def measure() -> list[Measure]:
    """The longest write transaction of some submissions, on SQLite, where one holds up every other."""
    spec = JOB_SPEC.validate_python(LARGEST)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tw-") as home:
        store = Store(load_settings().model_copy(update={"home": Path(home)}))
        upgrade(store.engine)
        began: dict[int, float] = {}

        def begin(connection: Connection) -> None:
            if "sqlite_begin" not in connection.get_execution_options():  # that of a session that only reads
                began[id(connection)] = time.perf_counter()

        def commit(connection: Connection) -> None:
            if start := began.pop(id(connection), None):
                seconds.append(time.perf_counter() - start)

        event.listen(store.engine, "begin", begin)
        event.listen(store.engine, "commit", commit)
        for _ in range(ROUNDS):
            answer_once(store, None, b"", lambda session: _stored(prepare(session, store.settings, spec)))
        store.close()
    note = f"{len(json.dumps(LARGEST)):,} bytes of JSON, {len(seconds)} transactions"
    what = "longest write transaction of a submission, SQLite"
    return [Measure(what, 1000 * max(seconds), TARGET_MILLISECONDS, "ms", at_least=False, note=note)]


def _stored(create: Any) -> Any:
    return lambda writing: Answer(create(writing).report.model_dump_json(), 202, {})
