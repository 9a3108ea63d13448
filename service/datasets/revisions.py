"""New datasets out of what others were imported from: nobody uploads twice because an option was missing."""

from sqlalchemy.orm import Session

from service.datasets import imports
from service.errors import ConflictError, NotFoundError, NotReadyError
from service.specs.dataset import ImportOptions, ImportSpec, RevisionRequest, UploadSource
from service.states import DatasetState
from service.store import datasets
from service.store.artifacts.interface import ArtifactStore
from service.store.tables import DatasetRow, JobRow


def create(session: Session, artifacts: ArtifactStore, key: str, request: RevisionRequest) -> DatasetRow:
    """A dataset that is imported from the same source as this one, under other options.

    Raises NotReadyError while this one is importing, and ConflictError when its source is gone.
    """
    parent = datasets.get(session, key)
    if parent.state == DatasetState.IMPORTING:
        raise NotReadyError(
            f"the dataset `{parent.name}` is still importing; a revision can be made when that has ended"
        )
    job = session.get(JobRow, parent.job_id)
    if job is None:
        raise ConflictError(f"the record of how `{parent.name}` was imported was deleted; import the data again")
    source = ImportSpec.model_validate(job.spec).source
    if isinstance(source, UploadSource) and not _is_there(artifacts, source.artifact):
        raise ConflictError(
            f"the file that `{parent.name}` was imported from is gone: it is kept for a day after an import "
            "that failed; upload it again"
        )
    revised = source.model_copy(update={"options": _revised(source.options, request)})
    return imports.create(session, request.name, revised, parent.id)


def _revised(options: ImportOptions, request: RevisionRequest) -> ImportOptions:
    changes = {name: getattr(request.options, name) for name in request.options.model_fields_set}
    if request.accept_corrupt:
        changes["drop_corrupt"] = True
    return options.model_copy(update=changes)


def _is_there(artifacts: ArtifactStore, key: str) -> bool:
    try:
        next(artifacts.read(key, 0, 1), None)
    except NotFoundError:
        return False
    return True
