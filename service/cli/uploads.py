"""Uploads a file in pieces, with a progress bar; goes on where it was when the connection or the service breaks."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from service.cli.client import ApiError, Client

PIECE_BYTES = 64 * 2**20
"""Sent in one request; what has arrived of it stays when that breaks."""
BLOCK_BYTES = 2**20
PATIENCE_SECONDS = 300.0
"""How long a transfer is tried again while nothing arrives."""
PIECE_TYPE = "application/offset+octet-stream"


def upload(client: Client, path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Uploads the file and returns the dataset that it becomes; the same call again goes on with what broke off."""
    size = path.stat().st_size
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), transient=True) as bar:
        digest, task = hashlib.sha256(), bar.add_task(f"reading {path.name}", total=size)
        for block in _blocks(path, 0, size):
            digest.update(block)
            bar.advance(task, len(block))
        about = fields | {"filename": path.name, "size": size, "sha256": digest.hexdigest()}
        address = f"/v1/uploads/{client.post('/v1/uploads', about)['id']}"
        bar.update(task, description=f"uploading {path.name}")
        return _send(client, address, path, size, lambda arrived: bar.update(task, completed=arrived))


def _send(client: Client, address: str, path: Path, size: int, show: Callable[[int], None]) -> dict[str, Any]:
    """Sends piece after piece from what has arrived on; tries again until nothing arrives for `PATIENCE_SECONDS`."""
    farthest, last = -1, time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            arrived = int(client.send("HEAD", address).headers["upload-offset"])
            if arrived > farthest:
                farthest, last = arrived, time.monotonic() + PATIENCE_SECONDS
            response = client.send(
                "PATCH",
                address,
                content=_shown(_blocks(path, arrived, min(arrived + PIECE_BYTES, size)), arrived, show),
                headers=_headers(arrived, min(PIECE_BYTES, size - arrived)),
                timeout=PATIENCE_SECONDS,
            )
            if response.status_code == httpx.codes.ACCEPTED:
                row: dict[str, Any] = response.json()
                return row
        except (httpx.TransportError, ApiError) as error:
            if time.monotonic() > last or (isinstance(error, ApiError) and not _may_pass(error.status)):
                raise click.ClickException(
                    f"the upload broke off: {error}. The same command goes on with it"
                ) from error
            time.sleep(0.5)


def _shown(blocks: Iterator[bytes], offset: int, show: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        show(offset)
        yield block
        offset += len(block)


def _may_pass(status: int) -> bool:
    """Whether a refused request may succeed later: another transfer is running, or the service is starting."""
    return status in (408, 409, 429) or status >= 500


def _headers(offset: int, length: int) -> dict[str, str]:
    return {"upload-offset": str(offset), "content-length": str(length), "content-type": PIECE_TYPE}


def _blocks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
            start += len(block)
            yield block
