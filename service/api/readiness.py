"""Whether the service can take jobs: its database, its schema, its disk and its broker."""

import shutil

from sqlalchemy.exc import SQLAlchemyError

from service.api.deps import Services
from service.errors import UnavailableError
from service.reports.operations import ReadinessReport
from service.store.migrate import check_schema

MIN_FREE_BYTES = 200 * 2**20


def readiness(services: Services) -> ReadinessReport:
    """What each check found; a broker that is lost only delays jobs (`degraded`).

    Raises UnavailableError, or SchemaError, when jobs cannot be taken.
    """
    try:
        check_schema(services.store.engine)
    except SQLAlchemyError as error:
        raise UnavailableError(f"the database does not answer: {type(error).__name__}") from error
    free = shutil.disk_usage(services.settings.home).free
    if free < MIN_FREE_BYTES:
        raise UnavailableError(f"only {free // 2**20} MiB are free under {services.settings.home}")
    has_broker = services.broker_answers()
    return ReadinessReport(
        status="ready" if has_broker else "degraded",
        checks={
            "database": "answers, schema is current",
            "disk": f"{free / 2**30:.1f} GiB free",
            "broker": "answers" if has_broker else "does not answer: jobs are accepted and wait",
        },
    )
