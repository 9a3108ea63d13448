"""A TCP proxy in front of the database's unix socket that can make every request late."""

import socket
import threading
import time
from contextlib import suppress

PIECE_BYTES = 2**16


class SlowProxy:
    """Listens on a free port of 127.0.0.1; what clients send is passed on `delay_seconds` late."""

    def __init__(self, socket_path: str) -> None:
        self.delay_seconds = 0.0
        self._target = socket_path
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:  # the database is away
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target, is_request in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, is_request), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if is_request and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
