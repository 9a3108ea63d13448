"""`python -m worker.host.health`: exits 0 when a worker on this host gave a sign of life within its lease.

A command of its own: it runs every half minute and must import neither torch nor Celery.
"""

import socket
import sys

from service.settings import load_settings
from service.store import workers
from service.store.session import Store


def main() -> int:
    """The exit code."""
    store = Store(load_settings())
    with store.read() as session:
        alive = workers.alive(session, store.settings.lease_seconds)
    return 0 if any(row.host == socket.gethostname() for row in alive) else 1


if __name__ == "__main__":
    sys.exit(main())
