"""For operators: health, readiness, statistics, workers, the queue, storage."""

from importlib.metadata import version

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from service.api.auth import MAY_ADMIN, MAY_READ
from service.api.deps import ServicesDep
from service.api.http.strict_route import StrictRoute
from service.api.readiness import readiness
from service.jobs import queue
from service.jobs.reports import worker_report
from service.reports.operations import HealthReport, ReadinessReport, StorageReport, WaitingJob, WorkerReport
from service.reports.part import Page
from service.store import workers
from service.upkeep.storage import storage

router = APIRouter(tags=["operations"])
v1 = APIRouter(tags=["catalog"], route_class=StrictRoute)
LONGEST_QUEUE_SHOWN = 500


@router.get("/healthz")
def get_health() -> HealthReport:
    """The process answers."""
    return HealthReport(version=version("trainwright"))


@router.get("/readyz")
def get_readiness(services: ServicesDep) -> ReadinessReport:
    """Whether jobs can be taken: database, schema, volumes. A broker that is lost only delays them: `degraded`."""
    return readiness(services)


@router.get("/metrics", response_class=PlainTextResponse, dependencies=MAY_READ)
def get_statistics(services: ServicesDep) -> Response:
    """Statistics in Prometheus' text format."""
    # The library takes a twentieth of the API's import time.
    from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    from service.api.statistics import Statistics

    return Response(generate_latest(Statistics(services)), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@v1.get("/workers", dependencies=MAY_READ)
def list_workers(services: ServicesDep) -> Page[WorkerReport]:
    """Worker processes that have reported, and what each runs."""
    lease_seconds = services.settings.lease_seconds
    with services.store.read() as session:
        return Page(data=[worker_report(session, row, lease_seconds) for row in workers.listed(session)])


@v1.post("/workers/{worker_id}/drain", status_code=202, dependencies=MAY_ADMIN)
def drain_worker(worker_id: str, services: ServicesDep) -> WorkerReport:
    """Asks a worker to hand its jobs back with a checkpoint and to end."""
    with services.store.begin() as session:
        return worker_report(session, workers.drain(session, worker_id), services.settings.lease_seconds)


@v1.get("/queue", dependencies=MAY_READ)
def list_queue(services: ServicesDep) -> Page[WaitingJob]:
    """Who waits, in which order, and for what."""
    with services.store.read() as session:
        return Page(data=queue.waiting(session, LONGEST_QUEUE_SHOWN))


@v1.get("/storage", dependencies=MAY_READ)
def get_storage(services: ServicesDep) -> StorageReport:
    """How many bytes the service keeps, by kind."""
    return storage(services.store)
