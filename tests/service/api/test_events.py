"""Events as pages and as a live stream, and log lines."""

import threading
from collections.abc import Iterator

import httpx

from service.states import JobState
from tests.service.simulated_worker import SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits"}
STREAM = {"accept": "text/event-stream"}


def submit(client: httpx.Client) -> str:
    job_id: str = client.post("/v1/jobs", json=LEAST).json()["id"]
    return job_id


def parse(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Events of a stream; comments are passed over."""
    event: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def test_events_come_in_numbered_pages(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(client)
    for number in range(5):
        worker.log(job_id, f"line {number}")
    first = client.get(f"/v1/jobs/{job_id}/events?limit=4").json()
    assert [event["seq"] for event in first["data"]] == [1, 2, 3, 4]
    rest = client.get(f"/v1/jobs/{job_id}/events?after={first['next_cursor']}").json()
    assert [event["data"].get("message") for event in rest["data"]] == ["line 3", "line 4"]
    assert rest["next_cursor"] is None
    assert first["data"][0]["type"] == "state"
    assert first["data"][0]["data"]["state"] == "queued"


def test_a_stream_is_live_and_ends_with_the_job(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(client)
    fence = worker.claim(job_id).fence
    types: list[str] = []
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for event in parse(response.iter_lines()):
            types.append(event["event"])
            if types == ["state", "log", "state"] or types == ["state", "state"]:
                worker.log(job_id, "said while the stream is open")
            if types[-1] == "log" and "open" in event["data"]:
                worker.end(fence)
    assert types[-1] == "end"
    assert types.count("state") == 3
    assert "log" in types


def test_a_stream_goes_on_after_the_last_event_id(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(client)
    worker.train(job_id)
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        everything = list(parse(response.iter_lines()))
    ids = [event["id"] for event in everything if "id" in event]
    assert ids == [str(number) for number in range(1, len(ids) + 1)]
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM | {"last-event-id": ids[-2]}) as response:
        rest = list(parse(response.iter_lines()))
    assert rest == everything[len(ids) - 1 :]


def test_a_stream_after_the_last_event_of_an_ended_job_ends_at_once(
    client: httpx.Client, worker: SimulatedWorker
) -> None:
    worker.dataset()
    job_id = submit(client)
    worker.train(job_id)
    with client.stream("GET", f"/v1/jobs/{job_id}/events?after=1000", headers=STREAM) as response:
        assert [event["event"] for event in parse(response.iter_lines())] == ["end"]


def test_a_stream_of_an_unknown_job_is_a_404(client: httpx.Client) -> None:
    response = client.get("/v1/jobs/none/events", headers=STREAM)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_more_open_streams_than_threads_leave_the_api_free(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(client)
    fence = worker.claim(job_id).fence
    ended: list[str] = []
    opened = threading.Barrier(61)

    def follow() -> None:
        with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
            opened.wait(60)
            ended.extend(event["event"] for event in parse(response.iter_lines()) if event["event"] == "end")

    threads = [threading.Thread(target=follow) for _ in range(60)]
    for thread in threads:
        thread.start()
    opened.wait(60)
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
    worker.end(fence)
    for thread in threads:
        thread.join(60)
    assert ended == ["end"] * 60


def test_log_lines_are_text_filtered_by_level(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submit(client)
    for level in ("debug", "info", "warning", "error"):
        worker.log(job_id, f"a {level} line", level)
    text = client.get(f"/v1/jobs/{job_id}/logs?level=warning").text
    assert [line.split(" ", 1)[1] for line in text.splitlines()][-2:] == [
        "warning a warning line",
        "error a error line",
    ]
    assert "info" not in text
    response = client.get(f"/v1/jobs/{job_id}/logs")
    last = response.headers["x-last-event"]
    assert client.get(f"/v1/jobs/{job_id}/logs?after={last}").text == ""


def test_a_cancelled_job_ends_its_stream(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client)
    client.post(f"/v1/jobs/{job_id}/cancel")
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        events = list(parse(response.iter_lines()))
    assert events[-1]["event"] == "end"
    assert JobState.CANCELLED in events[-1]["data"]
