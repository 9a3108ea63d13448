"""Connections whose request headers come too slowly, or without end, are closed; uvicorn itself waits for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MAX_HEADER_BYTES = 64 * 2**10


class _BoundedHeaders(asyncio.Protocol):
    """Stands before uvicorn's protocol, whose `cycle` is the request whose headers have come last."""

    header_seconds: float
    cycle: Any = None
    _connection: asyncio.BaseTransport | None = None
    _end: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request has to come in time."""
        super().connection_made(transport)
        self._connection = transport
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Runs the clock from the first byte of a request to the last of its headers."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()  # the request is in the service's hands, which bounds its body
            return
        is_body = self.cycle is not None and self.cycle.more_body  # of a request that was answered before its end
        self._header_bytes += 0 if is_body else len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._close()
        elif self._end is None:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._end = asyncio.get_running_loop().call_later(self.header_seconds, self._close)

    def _stop_clock(self) -> None:
        self._header_bytes = 0
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def bounded_headers(header_seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, for its setting `http`, with so much time for the headers of a request."""
    return type("BoundedHeaders", (_BoundedHeaders, AutoHTTPProtocol), {"header_seconds": header_seconds})
