"""Full disks answer 507, a database without connections 503; both say when to come again, and then all goes on."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from service.settings import Settings
from service.store.migrate import upgrade
from service.store.session import make_engine
from tests.faults.campaign.volumes import Volume
from tests.service.api.server import Server

LEAST = {"kind": "train", "dataset": "digits"}
DATASET = {"name": "more"}
ZIP = {"file": ("more.zip", bytes(2**20))}


@pytest.fixture(params=["home", "artifacts"])
def volume(request: pytest.FixtureRequest, home: Path) -> Iterator[Volume]:
    """A small volume in the place of that name."""
    name: str = request.param
    volume = Volume(home if name == "home" else home / name, 32)
    if not volume.is_mounted:
        pytest.skip("this user may not mount a tmpfs")
    yield volume
    volume.unmount()


@pytest.fixture
def client(volume: Volume, home: Path) -> Iterator[httpx.Client]:
    """A client of a service on that volume."""
    settings = Settings(home=home, sweep_seconds=3600, min_free_bytes=2**20)
    engine = make_engine(settings.database)
    upgrade(engine)
    engine.dispose()
    with Server(settings, lambda _: True) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def test_what_does_not_fit_is_a_507_until_there_is_room(client: httpx.Client, volume: Volume) -> None:
    small = {"name": "small", "filename": "small.zip", "size": 2**20}
    upload = client.post("/v1/uploads", json=small).headers["location"]
    headers = {"content-type": "application/offset+octet-stream", "upload-offset": "0"}
    with volume.filled():
        refused = [client.post("/v1/datasets", data=DATASET, files=ZIP)]
        if volume.folder.name != "artifacts":
            refused += [
                client.post("/v1/jobs", json=LEAST),
                client.post("/v1/uploads", json=small | {"name": "other"}),
                client.patch(upload, content=bytes(2**20), headers=headers),
            ]
        ready = client.get("/readyz")
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (507, "disk-full"), answer.text
        assert answer.headers["retry-after"] == "10"
    name = "artifacts" if volume.folder.name == "artifacts" else "home"
    assert ready.status_code == 503
    assert f"{name} ({volume.folder}, 0 bytes free)" in ready.json()["detail"]
    assert client.post("/v1/datasets", data=DATASET, files=ZIP).status_code == 202
    checks = client.get("/readyz").json()["checks"]
    assert {"home", "artifacts", "scratch"} < set(checks)
    assert checks[name].endswith(" bytes free")


@pytest.mark.parametrize("exhausted", ["server", "pool"])
def test_without_a_connection_it_is_a_503_until_there_is_one(postgres_url: str, home: Path, exhausted: str) -> None:
    settings = Settings(home=home, database_url=postgres_url, database_connections=2, sweep_seconds=3600)
    server = Server(settings, lambda _: True)
    with ExitStack() as held:
        if exhausted == "server":
            server.store.engine.dispose()
            held.enter_context(every_connection(postgres_url))
        else:
            for _ in range(2):
                held.enter_context(server.store.engine.connect())
        with server:
            started = time.monotonic()
            refused = httpx.post(f"{server.url}/v1/jobs", json=LEAST, timeout=60)
            assert time.monotonic() - started < 10
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert refused.headers["retry-after"] == "10"
            held.close()
            assert httpx.post(f"{server.url}/v1/jobs", json=LEAST, timeout=60).status_code == 202


@contextmanager
def every_connection(url: str) -> Iterator[None]:
    """Holds every connection that the server gives."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with ExitStack() as held:
        try:
            while True:
                held.enter_context(psycopg.connect(address))
        except psycopg.OperationalError:
            yield
