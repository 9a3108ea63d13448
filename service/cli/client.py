"""The HTTP client behind every command that is not a server."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any, Self, cast

import click
import httpx

from service.states import TERMINAL

DEFAULT_URL = "http://127.0.0.1:8000"


class ApiError(click.ClickException):
    """The service's problem object in words."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(problem_in_words(response))
        self.status = response.status_code


def problem_in_words(response: httpx.Response) -> str:
    """Title, detail and each field's fault; the plain text where the answer is no problem object."""
    try:
        problem = response.json()
        lines = [f"{problem['title']}: {problem['detail']}"]
        lines += [f"  {error['pointer'] or '/'}: {error['detail']}" for error in problem.get("errors", [])]
        return "\n".join(lines)
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.text[:300]}"


class Client:
    """A connection to a service; `key` goes along as a bearer token."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.url = (url or os.environ.get("TRAINWRIGHT_URL") or DEFAULT_URL).rstrip("/")
        key = key or os.environ.get("TRAINWRIGHT_API_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        is_local = httpx.URL(self.url).host in ("127.0.0.1", "::1", "localhost")  # no proxy leads there
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=not is_local)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request; ApiError when the service refuses, httpx.TransportError when the connection breaks."""
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise ApiError(response)
        return response

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """One request's JSON; ApiError when the service refuses, ClickException when it does not answer."""
        try:
            response = self.send(method, path, **options)
        except httpx.TransportError as error:
            raise click.ClickException(
                f"no service answers at {self.url} ({error}); start one with `trainwright up`"
            ) from error
        return cast(dict[str, Any], response.json()) if response.content else {}

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """POST of JSON."""
        return self.call("POST", path, json={} if body is None and not options else body, **options)

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job's live events from the first to `end`; a broken stream is taken up where it stood."""
        last = 0
        while True:
            try:
                for event in self._stream(job_id, last):
                    last = event["seq"]
                    yield event
                    if event["type"] == "end":
                        return
            except httpx.TransportError:
                time.sleep(0.5)
            if self.get(f"/v1/jobs/{job_id}")["state"] in TERMINAL and not self._newer(job_id, last):
                return

    def _newer(self, job_id: str, last: int) -> bool:
        return bool(self.get(f"/v1/jobs/{job_id}/events", after=last)["data"])

    def _stream(self, job_id: str, last: int) -> Iterator[dict[str, Any]]:
        headers = {"accept": "text/event-stream", "last-event-id": str(last)}
        with self._http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=60) as response:
            if response.is_error:
                response.read()
                raise ApiError(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    event = json.loads(line[5:])
                    if isinstance(event, dict) and "seq" in event:
                        yield event

    def wait(self, path: str, until: frozenset[str]) -> dict[str, Any]:
        """Asks until `state` is one of `until`."""
        while (report := self.get(path))["state"] not in until:
            time.sleep(0.1)
        return report


def connect() -> Client:
    """A client for as long as the command runs."""
    return click.get_current_context().with_resource(Client())
