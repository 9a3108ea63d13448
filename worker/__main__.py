"""`python -m worker`: the worker process, set up by the environment (docs/settings.md)."""

import logging

from service.embedded.watchdog import end_with_parent
from service.errors import SchemaError
from service.settings import load_settings
from worker.attempt.training_process import start_forkserver


def main() -> None:
    """Starts the worker; ends with a clear word when the schema is not current."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    end_with_parent()
    start_forkserver()  # first of all: it imports torch while this process imports the rest
    from worker.host.app import Worker

    try:
        worker = Worker(load_settings())
    except SchemaError as error:
        raise SystemExit(error.detail) from error
    worker.run()


if __name__ == "__main__":
    main()
