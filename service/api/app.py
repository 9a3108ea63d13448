"""The HTTP face: `create_app(settings)` wires settings, store and routers together."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.middleware import Middleware

from service import sweeper
from service.api.auth import NeededScopes, authenticate, check_admin_key, check_exposure
from service.api.deps import Services
from service.api.http import openapi, problems
from service.api.http.sse import Tails
from service.api.middleware.authentication import Authentication
from service.api.middleware.conditional_reads import ConditionalReads
from service.api.middleware.head_requests import HeadRequests
from service.api.middleware.request_context import RequestContext, RequestStatistics
from service.api.middleware.request_guards import LOOPBACK, RequestGuards
from service.api.middleware.shared_reads import SharedReads
from service.api.middleware.yaml_bodies import YamlBodies
from service.api.readiness import refuse_writes_on_skew
from service.api.routers import (
    bundles,
    catalog,
    checkpoints,
    datasets,
    events,
    findings,
    job_actions,
    jobs,
    keys,
    metrics,
    operations,
    pages,
    results,
    sessions,
    uploads,
    weights,
)
from service.notify import broker_answers, make_celery, notify_workers
from service.settings import Settings
from service.store.events import latest
from service.store.migrate import check_schema
from service.store.session import Store

ROUTERS = (
    jobs.router,
    job_actions.router,
    events.router,
    metrics.router,
    results.router,
    findings.router,
    checkpoints.router,
    bundles.router,
    datasets.router,
    uploads.router,
    weights.router,
    catalog.router,
    operations.v1,
    keys.router,
    sessions.router,
)


def create_app(settings: Settings, *, notify: Callable[[Iterable[str]], bool] | None = None) -> FastAPI:
    """The ASGI application; `notify` replaces the messages to the workers (tests).

    Raises SchemaError when the database's schema is not current, SystemExit when the service would be exposed.
    """
    check_exposure(settings)
    check_admin_key(settings)
    store = Store(settings)
    check_schema(store.engine)
    statistics = RequestStatistics()
    services = Services(
        settings=settings,
        store=store,
        notify=notify or partial(notify_workers, store),
        broker_answers=partial(broker_answers, settings),
        tails=Tails(lambda job_ids: _latest(store, job_ids)),
        statistics=statistics,
    )
    hosts = LOOPBACK | {settings.host} if settings.auth == "off" else None
    app = FastAPI(
        title="Trainwright",
        summary="Training as a service",
        version=version("trainwright"),
        license_info={"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        lifespan=_lifespan(services),
        middleware=[
            Middleware(RequestContext, statistics),
            Middleware(RequestGuards, hosts, settings.max_upload_bytes, settings.max_body_bytes),
            Middleware(HeadRequests),
            Middleware(Authentication, partial(authenticate, services), NeededScopes(ROUTERS)),
            Middleware(ConditionalReads),
            Middleware(SharedReads),
            Middleware(YamlBodies),
        ],
    )
    app.state.services = services
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1", dependencies=[Depends(refuse_writes_on_skew)])
    app.include_router(operations.router)
    app.include_router(pages.router)
    pages.mount_assets(app)
    app.openapi = openapi.document(app)  # type: ignore[method-assign]
    return app


def _latest(store: Store, job_ids: Iterable[str]) -> dict[str, int]:
    with store.read() as session:
        return latest(session, job_ids)


def _sweep(services: Services, stop: threading.Event) -> None:
    make_celery(services.settings.broker)  # imported now, so that the first submission does not pay for it
    sweeper.run_forever(services.store, services.notify, stop)


def _lifespan(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Every API process takes part in sweeping; the store's connections close with the app."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=_sweep, args=(services, stop), name="sweeper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)
            services.store.close()

    return lifespan
