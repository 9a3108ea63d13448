"""What the processes of a search share: its study, and the saved states of its trials."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from service.jobs import runners
from service.settings import Settings
from service.specs.tune import TuneRunnerSpec, TuneSpec
from service.store import studies
from service.store.artifacts.interface import sha256_of
from service.store.attempts import Claim
from service.store.session import Store
from worker.engine.context import MAIN, RunContext, trial_file


def share_study(store: Store, claim: Claim, context: RunContext) -> RunContext:
    """The context with the shared study, for a search or one of its runners; any other context as it is."""
    match claim.spec:
        case TuneSpec():
            job_id, runner = claim.fence.job_id, MAIN
        case TuneRunnerSpec(study=job_id, number=number):
            runner = f"runner-{number}"
        case _:
            return context
    fetch = partial(fetch_trial_state, store.settings, job_id, context.scratch)
    return replace(context, study_url=studies.address(store, job_id), runner=runner, trial_state=fetch)


def fetch_trial_state(settings: Settings, job_id: str, folder: Path, number: int) -> Path | None:
    """Fetches the saved state of a trial into `folder`, whichever runner saved it; the training process calls it."""
    store, name = Store(settings), trial_file(number)
    try:
        with store.read() as session:
            row = runners.file_of(session, job_id, name)
        if row is None:
            return None
        path = store.artifacts.fetch(row.artifact, folder / f"fetched-{name}")
        return path if sha256_of(path) == row.sha256 else None
    finally:
        store.close()
