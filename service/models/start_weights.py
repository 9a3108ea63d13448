"""Start weights that a spec names, checked when it is submitted: they are there, and of the network asked for."""

import difflib
from pathlib import Path

from sqlalchemy.orm import Session

from service.errors import FieldError, NotFoundError, SpecError
from service.models import weights
from service.reports.weights import WeightsProfile
from service.resolution.resolve import training_of
from service.settings import Settings
from service.specs import STORED_SPEC, AnyJobSpec
from service.specs.model import TorchvisionSpec, WeightsFile, WeightsUpload
from service.specs.part import FromJob
from service.specs.train import TrainSpec
from service.specs.tune import SearchFields, TuneSpec
from service.states import TERMINAL
from service.store import files
from service.store.tables import JobRow
from service.volumes import root_refusal

HINT = "POST /v1/weights uploads some, and GET /v1/weights lists them"


def check(session: Session, settings: Settings, spec: AnyJobSpec, *, lock: bool = False) -> None:
    """SpecError for weights that are not there or are known to be of another network.

    With `lock`, uploaded ones stay until this transaction ends.
    """
    part, prefix = training_of(spec)
    model = part.model
    if not isinstance(model, TorchvisionSpec):
        return
    # A search that tries other networks tells of those that do not fit trial by trial.
    is_searched = isinstance(spec, TuneSpec) and _tries_networks(spec)
    match model.weights:
        case WeightsUpload(upload=key):
            field, (detail, others) = "upload", _of_upload(session, key, lock)
        case FromJob(from_job=job_id):
            field, (detail, others) = "from_job", _of_job(session, job_id)
        case WeightsFile(path=path):
            field, (detail, others) = "path", (_of_path(settings, Path(path)), None)
        case _:
            return
    if detail is None and others is not None and model.arch not in others and not is_searched:
        fit = " or ".join(f"`{name}`" for name in others) or "no architecture of the catalog"
        detail = f"these weights fit {fit}, and the spec asks for `{model.arch}`"
    if detail is not None:
        raise SpecError(detail, [FieldError(pointer=f"{prefix}/model/weights/{field}", detail=detail)])


def _of_upload(session: Session, key: str, lock: bool) -> tuple[str | None, list[str] | None]:
    """What is wrong with uploaded weights, and the architectures that they fit, where that is known."""
    try:
        profile = WeightsProfile.model_validate(weights.get(session, key, lock=lock).profile)
    except NotFoundError as error:
        near = difflib.get_close_matches(key, weights.names(session), n=1, cutoff=0.5)
        return f"{error.detail}; " + (f"did you mean `{near[0]}`?" if near else HINT), None
    return None, [profile.arch] if profile.arch else profile.fits


def _of_job(session: Session, job_id: str) -> tuple[str | None, list[str] | None]:
    """The same of a job's model; that the job is there and may still succeed was checked before."""
    job = session.get(JobRow, job_id)
    if job is None:
        return None, None
    if job.state in TERMINAL and not files.of(session, job_id, "model"):
        return f"job {job_id} ({job.kind}) left no model file", None
    spec = STORED_SPEC.validate_python(job.spec)
    if isinstance(spec, SearchFields):
        model = None if _tries_networks(spec) else spec.train.model
    else:
        model = spec.model if isinstance(spec, TrainSpec) else None
    if model is None:
        return None, None
    return None, [model.arch if isinstance(model, TorchvisionSpec) else model.family]


def _tries_networks(spec: SearchFields) -> bool:
    return not {"model", "model.arch", "model.family"}.isdisjoint(spec.search_space)


def _of_path(settings: Settings, path: Path) -> str | None:
    """Why no worker can read this file, as far as this host knows: it may not have the data root itself."""
    if (why := root_refusal(path, settings.data_roots)) is not None:
        return why
    has_root = any(path.resolve().is_relative_to(root.resolve()) and root.is_dir() for root in settings.data_roots)
    return f"there is no file {path}" if has_root and not path.is_file() else None
