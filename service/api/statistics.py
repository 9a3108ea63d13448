"""Statistics of the service in Prometheus' text format, read when they are asked for."""

import threading
import time
from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from service.api.deps import Services
from service.jobs import queue
from service.store import workers


class Statistics(Collector):
    """Statistics of one app; the library's global registry, and what it holds of the process, are not used."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterable[Metric]:
        """Every metric of the app."""
        requests = self.services.statistics
        with self.services.store.read() as session:
            states = queue.count_by_state(session)
            alive = len(workers.alive(session, self.services.settings.lease_seconds))
        jobs = GaugeMetricFamily("trainwright_jobs", "Jobs by state.", labels=["state"])
        for state, count in states.items():
            jobs.add_metric([state], count)
        answered = CounterMetricFamily("trainwright_requests", "Answered requests.", labels=["method", "status"])
        for (method, status), count in sorted(requests.counts.items()):
            answered.add_metric([method, str(status)], count)
        return [
            jobs,
            GaugeMetricFamily("trainwright_workers", "Workers that are alive.", alive),
            answered,
            CounterMetricFamily("trainwright_request_seconds", "Seconds until answers began.", requests.seconds),
            GaugeMetricFamily(
                "trainwright_uptime_seconds", "Age of this process.", time.monotonic() - requests.started
            ),
            GaugeMetricFamily("trainwright_threads", "Threads of this process.", threading.active_count()),
        ]


def statistics_response(services: Services) -> Response:
    """The statistics as Prometheus reads them."""
    return Response(generate_latest(Statistics(services)), media_type=CONTENT_TYPE_PLAIN_0_0_4)
