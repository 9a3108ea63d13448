"""Statistics of the service in Prometheus' text format, read when they are asked for."""

import threading
import time
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.api.deps import Services
from service.jobs import queue
from service.store import workers


class Statistics(Collector):
    """Statistics of one app; the library's global registry is not used."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Iterator[Metric]:
        """Every metric of the app."""
        requests = self.services.statistics
        with self.services.store.read() as session:
            states = queue.count_by_state(session)
            alive = workers.alive(session, self.services.settings.lease_seconds)
        jobs = GaugeMetricFamily("trainwright_jobs", "Jobs by state.", labels=["state"])
        for state, count in states.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("trainwright_workers", "Workers that are alive.", len(alive))
        answered = CounterMetricFamily("trainwright_requests", "Answered requests.", labels=["method", "status"])
        for (method, status), count in sorted(requests.counts.items()):
            answered.add_metric([method, str(status)], count)
        yield answered
        yield CounterMetricFamily("trainwright_request_seconds", "Seconds until answers began.", requests.seconds)
        uptime = time.monotonic() - requests.started
        yield GaugeMetricFamily("trainwright_uptime_seconds", "Age of this process.", uptime)
        yield GaugeMetricFamily("trainwright_threads", "Threads of this process.", threading.active_count())
