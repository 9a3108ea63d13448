"""Whether the service can take jobs: its database, its schema, its volumes and its broker."""

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.api.deps import Services, ServicesDep
from service.errors import UnavailableError
from service.reports.operations import ReadinessReport
from service.store import workers
from service.store.migrate import check_schema, refuse_skew
from service.volumes import volumes


def readiness(services: Services) -> ReadinessReport:
    """What each check found; a broker that is lost only delays jobs (`degraded`).

    Raises UnavailableError, or SchemaError, when jobs cannot be taken.
    """
    try:
        check_schema(services.store.engine)
    except SQLAlchemyError as error:
        raise UnavailableError(f"the database does not answer: {type(error).__name__}") from error
    disks = volumes(services.settings)
    if full := [str(disk) for disk in disks if disk.free_bytes < services.settings.min_free_bytes]:
        raise UnavailableError(f"too little space is free: {'; '.join(full)}")
    has_broker = services.broker_answers()
    return ReadinessReport(
        status="ready" if has_broker else "degraded",
        checks={
            "database": "answers, schema is current",
            **{disk.name: f"{disk.free_bytes:,} bytes free" for disk in disks},
            "broker": "answers" if has_broker else "does not answer: jobs are accepted and wait",
            "workers": _versions(services),
        },
    )


async def refuse_writes_on_skew(request: Request, services: ServicesDep) -> None:
    """SchemaError for what would change something in another version's schema; reading goes on."""
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        await run_in_threadpool(_refuse_skew, services)


def _refuse_skew(services: Services) -> None:
    with services.store.read() as session:
        refuse_skew(session)


def _versions(services: Services) -> str:
    with services.store.read() as session:
        alive = workers.alive(session, services.settings.lease_seconds)
    skewed = [f"{row.host}:{row.pid} ({row.version or 'unknown'})" for row in alive if workers.is_skewed(row)]
    if skewed:
        return f"run another version than this API ({workers.PROGRAM}): {', '.join(skewed[:10])}"
    return f"{len(alive)} alive, of this version"
