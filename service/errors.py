"""The error tree: each class carries the HTTP status, the stable code and the title of its problem (RFC 9457).

TrainwrightError
├── InvalidRequestError (422)   SpecError, ImportRefusedError
├── NotFoundError (404)         FilesDeletedError (410)
├── ConflictError (409)         StateError, InUseError
├── AuthError (401)             WrongKeyError, ForbiddenError (403)
├── TooLargeError (413)
├── BusyError (429)
├── ThrottledError (429)
├── UnavailableError (503)
├── DiskFullError (507)
└── RunError (500)              ends an attempt: StalledError, ProcessDiedError, WorkerLostError, ...
    ├── UnfitSpecError (422)    OutOfMemoryError, DivergedError, DataError, WeightsError: another spec can help
    └── GateError (409)
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from math import ceil
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel

MAX_ERRORS = 100
MAX_DETAIL = 500
"""Characters of a sentence in an answer: what a client sent is repeated in it, cut."""


def cut(text: str, limit: int = 200) -> str:
    """The text, or its beginning."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


class FieldError(BaseModel):
    """One fault in a request: a JSON pointer to the field and what to do about it."""

    pointer: Annotated[str, AfterValidator(cut)]
    detail: Annotated[str, AfterValidator(partial(cut, limit=MAX_DETAIL))]


def json_pointer(names: Iterable[object]) -> str:
    """The names of a way through a document as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


def summary(errors: Sequence[FieldError]) -> str:
    """One sentence over all faults: the first, and how many more."""
    if not errors:
        return "The request is not valid"
    first = f"{errors[0].pointer or 'the body'}: {errors[0].detail}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class Problem(BaseModel):
    """`application/problem+json` (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: list[FieldError] = []


class TrainwrightError(Exception):
    """Root of every error that Trainwright raises on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []

    def problem(self, request_id: str | None = None) -> Problem:
        """The error as the problem object that clients see."""
        return Problem(
            type=f"urn:trainwright:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=cut(self.detail, 2 * MAX_DETAIL),
            code=self.code,
            request_id=request_id,
            errors=self.errors[:MAX_ERRORS],
        )


class InvalidRequestError(TrainwrightError):
    """A request that can never work as it is."""

    status, code, title = 422, "invalid-request", "The request is not valid"


class SpecError(InvalidRequestError):
    """A job spec that cannot run; `errors` names each field."""

    code, title = "invalid-spec", "The job spec is not valid"


class ImportRefusedError(InvalidRequestError):
    """Data that cannot become a dataset. `reason` is the stable code of the hazard, e.g. `archive-traversal`."""

    code, title = "import-refused", "The data cannot be imported"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    def problem(self, request_id: str | None = None) -> Problem:
        """As for every error, with the hazard's own code."""
        return (
            super()
            .problem(request_id)
            .model_copy(update={"code": self.reason, "type": f"urn:trainwright:problem:{self.reason}"})
        )

    def __reduce__(self) -> tuple[type["ImportRefusedError"], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class NotFoundError(TrainwrightError):
    """Nothing has this id."""

    status, code, title = 404, "not-found", "Not found"


class NotReadyError(NotFoundError):
    """The job or dataset exists, but this part of its result does not (yet, or for its kind)."""

    code, title = "no-result", "No such result"


class FilesDeletedError(NotFoundError):
    """The job is kept and its files were deleted; the detail says when, by whom and why."""

    status, code, title = 410, "files-deleted", "The files were deleted"


class ConflictError(TrainwrightError):
    """The request does not fit what is stored."""

    status, code, title = 409, "conflict", "Conflict"


class StateError(ConflictError):
    """The job's state does not allow this; the detail names the state."""

    code, title = "wrong-state", "The state does not allow this"


class InUseError(ConflictError):
    """Something else needs this."""

    code, title = "in-use", "In use"


class AuthError(TrainwrightError):
    """No key, or one that is not valid."""

    status, code, title = 401, "unauthorized", "A valid API key is needed"


class WrongKeyError(AuthError):
    """A key that was never valid, as a guess is; `key_id` names the key whose secret it was to be."""

    def __init__(self, detail: str, key_id: str | None) -> None:
        super().__init__(detail)
        self.key_id = key_id


class ForbiddenError(AuthError):
    """The key is valid and its scope does not reach this."""

    status, code, title = 403, "forbidden", "The key's scope does not allow this"


class TooLargeError(TrainwrightError):
    """The body is over the limit."""

    status, code, title = 413, "too-large", "The request is too large"


class BusyError(TrainwrightError):
    """A queue is full: try again later."""

    status, code, title = 429, "queue-full", "The queue is full"


class ThrottledError(TrainwrightError):
    """Too many wrong keys: for `seconds` none is looked at."""

    status, code, title = 429, "throttled", "Too many wrong keys"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many wrong keys were sent; try again in {ceil(seconds)} s")
        self.seconds = seconds


class UnavailableError(TrainwrightError):
    """A part that the service needs does not answer."""

    status, code, title = 503, "unavailable", "The service is not available"


class DiskFullError(TrainwrightError):
    """A disk has no room for what is to be written; the detail names the volume."""

    status, code, title = 507, "disk-full", "A disk is full"


class SchemaError(UnavailableError):
    """The database's schema is not the one this code needs."""

    code, title = "schema-outdated", "The database schema is not current"


class RunError(TrainwrightError):
    """Ends an attempt of a job; stored as the job's `error`, whose status says whose fault it was."""

    code, title = "run-failed", "The run failed"
    retryable: ClassVar[bool] = False


class UnfitSpecError(RunError):
    """The spec does not fit the data, the job's needs or the machine: the detail says what to change."""

    status, code, title = 422, "spec-failed", "The job cannot run as its spec says"


class OutOfMemoryError(UnfitSpecError):
    """The memory did not suffice; the detail names the batch size and the next smaller one."""

    code, title = "out-of-memory", "Out of memory"


class DivergedError(UnfitSpecError):
    """The loss or a gradient became NaN or infinite."""

    code, title = "diverged", "The training diverged"


class GateError(RunError):
    """A job that this one requires did not pass."""

    status, code, title = 409, "gate-failed", "A required job did not pass"


class DataError(UnfitSpecError):
    """The data do not fit the spec (found when the run started)."""

    code, title = "data-mismatch", "The data do not fit the spec"


class WeightsError(UnfitSpecError):
    """A weights file does not fit the model."""

    code, title = "weights-mismatch", "The weights do not fit the model"


class ProcessDiedError(RunError):
    """The training process ended without a word (a crash, a kill, the kernel's out-of-memory killer)."""

    code, title = "process-died", "The training process died"
    retryable = True


class StalledError(RunError):
    """The training process ran on and did not advance (a deadlock, an endless loop, a stopped process)."""

    code, title = "stalled", "The training process stood still"
    retryable = True


class StudyError(RunError):
    """The study of a search, in its database, did not answer."""

    code, title = "study-lost", "The study did not answer"
    retryable = True


class SupervisorError(RunError):
    """The worker's own part failed."""

    code, title = "supervisor-failed", "The worker failed to run the job"
    retryable = True


class WorkerLostError(RunError):
    """The lease ran out `max_attempts` times."""

    code, title = "worker-lost", "The worker was lost"
    retryable = True
