"""For operators: health, readiness, statistics, workers, the queue."""

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from fastapi import APIRouter
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.responses import PlainTextResponse

from service.api.auth import MAY_ADMIN, MAY_READ
from service.api.deps import Services, ServicesDep
from service.api.http.serializers import queue_of
from service.errors import NotFoundError, SchemaError, UnavailableError
from service.reports.operations import HealthReport, ReadinessReport, WaitingJob, WorkerReport
from service.reports.page import Page
from service.states import JobState
from service.store import workers
from service.store.migrate import check_schema
from service.store.session import now
from service.store.tables import JobRow, WorkerRow

router = APIRouter(tags=["operations"])
v1 = APIRouter(tags=["catalog"])
MIN_FREE_BYTES = 200 * 2**20
LONGEST_QUEUE_SHOWN = 500


@router.get("/healthz")
def get_health() -> HealthReport:
    """The process answers."""
    return HealthReport(version=version("trainwright"))


@router.get("/readyz")
def get_readiness(services: ServicesDep) -> ReadinessReport:
    """Whether jobs can be taken: database, schema, disk. A broker that is lost only delays them: `degraded`."""
    checks = {"database": _check_database(services), "disk": _check_disk(services)}
    has_broker = services.broker_answers()
    checks["broker"] = "answers" if has_broker else "does not answer: jobs are accepted and wait"
    return ReadinessReport(status="ready" if has_broker else "degraded", checks=checks)


@router.get("/metrics", response_class=PlainTextResponse, dependencies=MAY_READ)
def get_statistics(services: ServicesDep) -> PlainTextResponse:
    """Statistics in Prometheus' text format."""
    return PlainTextResponse("\n".join(_statistics(services)) + "\n", media_type="text/plain; version=0.0.4")


@v1.get("/workers", dependencies=MAY_READ)
def list_workers(services: ServicesDep) -> Page[WorkerReport]:
    """Worker processes that have reported, and what each runs."""
    with services.store.read() as session:
        rows = session.execute(select(WorkerRow).order_by(WorkerRow.started_at)).scalars().all()
        return Page(data=[_worker(session, row, services.settings.lease_seconds) for row in rows])


@v1.post("/workers/{worker_id}/drain", status_code=202, dependencies=MAY_ADMIN)
def drain_worker(worker_id: str, services: ServicesDep) -> WorkerReport:
    """Asks a worker to hand its jobs back with a checkpoint and to end."""
    with services.store.begin() as session:
        row = session.get(WorkerRow, worker_id)
        if row is None:
            raise NotFoundError(f"no worker has the id `{worker_id}`")
        workers.drain(session, worker_id)
        session.flush()
        return _worker(session, row, services.settings.lease_seconds)


@v1.get("/queue", dependencies=MAY_READ)
def list_queue(services: ServicesDep) -> Page[WaitingJob]:
    """Who waits, in which order, and for what."""
    with services.store.read() as session:
        wanted = select(JobRow).where(JobRow.state == JobState.QUEUED).order_by(JobRow.priority.desc(), JobRow.id)
        rows = session.execute(wanted.limit(LONGEST_QUEUE_SHOWN)).scalars().all()
        places = queue_of(session, rows)
        data = [
            WaitingJob(
                job=row.id,
                name=row.name,
                kind=row.kind,
                position=places[row.id].position,
                reason=places[row.id].reason,
            )
            for row in rows
        ]
    return Page(data=data)


def _worker(session: Session, row: WorkerRow, lease_seconds: float) -> WorkerReport:
    silent = (now(session) - row.heartbeat_at).total_seconds()
    devices = [str(each.get("name", each)) if isinstance(each, dict) else str(each) for each in row.devices]
    return WorkerReport(
        id=row.id,
        name=f"{row.host}:{row.pid}",
        state="lost" if silent > lease_seconds else "draining" if row.draining else "alive",
        device=", ".join(devices) or "cpu",
        slots=row.slots,
        jobs=workers.jobs_of(session, row.id),
        started_at=row.started_at,
        seen_at=row.heartbeat_at,
    )


def _check_database(services: Services) -> str:
    try:
        check_schema(services.store.engine)
    except SQLAlchemyError as error:
        raise UnavailableError(f"the database does not answer: {type(error).__name__}") from error
    except SchemaError:
        raise
    return "answers, schema is current"


def _check_disk(services: Services) -> str:
    free = shutil.disk_usage(services.settings.home).free
    if free < MIN_FREE_BYTES:
        raise UnavailableError(f"only {free // 2**20} MiB are free under {services.settings.home}")
    return f"{free / 2**30:.1f} GiB free"


def _statistics(services: Services) -> Iterator[str]:
    with services.store.read() as session:
        states = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
        alive = len(workers.alive(session, services.settings.lease_seconds))
    requests = services.statistics
    yield from _metric("jobs", "gauge", "Jobs by state.", {f'state="{s}"': states.get(s, 0) for s in JobState})
    yield from _metric("workers", "gauge", "Workers that are alive.", {"": alive})
    answered = {f'method="{method}",status="{status}"': n for (method, status), n in sorted(requests.counts.items())}
    yield from _metric("requests_total", "counter", "Answered requests.", answered)
    yield from _metric("request_seconds_total", "counter", "Seconds until answers began.", {"": requests.seconds})
    yield from _metric("uptime_seconds", "gauge", "Age of this process.", {"": time.monotonic() - requests.started})
    yield from _metric("threads", "gauge", "Threads of this process.", {"": threading.active_count()})


def _metric(name: str, kind: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP trainwright_{name} {about}"
    yield f"# TYPE trainwright_{name} {kind}"
    for labels, value in values.items():
        yield f"trainwright_{name}{{{labels}}} {value}" if labels else f"trainwright_{name} {value}"
