"""What the server counts, in Prometheus' form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pace_integrations.answer import Answer

if TYPE_CHECKING:
    from pace_integrations.server.core import ServerCore

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        core: The server, for what is measured when it is asked for.
    """

    def __init__(self, core: ServerCore) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "pace_requests", "Requests by route and status.", ["route", "code"], registry=registry
        )
        self._tokens = Counter("pace_tokens", "Tokens by kind.", ["kind"], registry=registry)
        self._first = Histogram(
            "pace_first_token_seconds",
            "Seconds from a request to the first piece of its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        for name, text, value in (
            ("pace_requests_running", "Requests being answered.", lambda: core.admission.running),
            ("pace_requests_waiting", "Requests in the queue.", lambda: core.admission.waiting),
            ("pace_libraries_open", "Libraries that can be asked.", lambda: _count_open(core)),
            ("pace_reading_tokens_left", "Tokens yet to be read.", lambda: _count_left(core)),
            ("pace_store_bytes", "Bytes of libraries on disk.", lambda: _count_bytes(core)),
        ):
            Gauge(name, text, registry=registry).set_function(value)

    def count_request(self, route: str, code: int) -> None:
        """Count a request that has been replied to."""
        self._requests.labels(route, str(code)).inc()

    def count_answer(self, answer: Answer, first_token: float) -> None:
        """Count an answer, and the seconds to its first token."""
        usage = answer.usage
        self._tokens.labels("read").inc(usage.input_tokens - usage.cached_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)
        self._tokens.labels("written").inc(usage.output_tokens)
        self._first.observe(first_token)

    def write_text(self) -> bytes:
        """Return all of them as text."""
        return generate_latest(self._registry)


def _count_open(core: ServerCore) -> int:
    return sum(library.backend is not None for library in core.libraries.list_all())


def _count_left(core: ServerCore) -> int:
    under_way = (library.progress for library in core.libraries.list_all())
    return sum(progress[1] - progress[0] for progress in under_way if progress)


def _count_bytes(core: ServerCore) -> int:
    return sum(library.measure_size() for library in core.libraries.list_all())
