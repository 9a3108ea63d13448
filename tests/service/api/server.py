"""uvicorn in a thread, on a free loopback port."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import uvicorn

from service.api.app import create_app
from service.api.deps import Services
from service.api.http.bounded_headers import bounded_headers
from service.settings import Settings
from service.store.session import Store


class Server:
    """A running service; a context manager."""

    def __init__(self, settings: Settings, notify: Callable[[Iterable[str]], bool] | None = None) -> None:
        self.app = create_app(settings, notify=notify)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        http = bounded_headers(settings.header_seconds)
        config = uvicorn.Config(self.app, http=http, log_level="critical", timeout_graceful_shutdown=1, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def services(self) -> Services:
        """The parts behind the API."""
        state: Any = self.app.state
        services: Services = state.services
        return services

    @property
    def store(self) -> Store:
        """The store behind the API."""
        return self.services.store

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)
        self._socket.close()
