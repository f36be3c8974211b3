"""Figures for whoever watches: sent by Airflow's own metrics, to StatsD or OpenTelemetry, where these are switched on.

Gauges after each pass: `roomtone.fresh` (1 or 0), `roomtone.degraded` (how many things do not work),
`roomtone.inbox.waiting`, `roomtone.inbox.oldest_seconds`, `roomtone.<way>.p95_seconds` (webhook, poll). Timings of each
stage: `roomtone.stage.<stage>` or `roomtone.stage.<stage>.<source or destination>`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from airflow.sdk.configuration import conf
from airflow.sdk.observability.stats import gauge, timing

from roomtone.settings import Settings
from roomtone.stores.heartbeats import watched


@contextmanager
def stage(settings: Settings, name: str, subject: str = "") -> Iterator[None]:
    """Note the stage's sign of life, and time it."""
    begun = time.perf_counter()
    with watched(settings, name, subject):
        yield
    timing(f"roomtone.stage.{name}{'.' if subject else ''}{subject}", (time.perf_counter() - begun) * 1000)


def tell(settings: Settings) -> None:
    """Send the gauges; costs nothing where nobody listens."""
    if not any(conf.getboolean("metrics", switch, fallback=False) for switch in ("statsd_on", "otel_on")):
        return
    # Read only where somebody listens: it asks the operational store half a dozen questions.
    from roomtone.status import examine

    found = examine(settings, datetime.now(UTC))
    gauge("roomtone.fresh", int(found.is_fresh))
    gauge("roomtone.degraded", len(found.degraded))
    gauge("roomtone.inbox.waiting", found.inbox.count_waiting)
    oldest = found.inbox.oldest_at
    gauge("roomtone.inbox.oldest_seconds", (found.now - oldest).total_seconds() if oldest else 0)
    for figure in found.figures:
        if figure.measured_seconds is not None:
            gauge(f"roomtone.{figure.way}.p95_seconds", figure.measured_seconds)
