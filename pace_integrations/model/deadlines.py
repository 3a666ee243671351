"""How long something may take."""

from __future__ import annotations

import threading
import time

from pace_integrations._checks import check_timeout
from pace_integrations.errors import DeadlineExceededError


class Deadline:
    """A time by which something must be done.

    Args:
        timeout: Seconds from now, or None for never.
    """

    def __init__(self, timeout: float | None) -> None:
        check_timeout(timeout)
        self._timeout = timeout = None if timeout is None else float(timeout)
        # What no clock can count to, such as inf, is never.
        counted = None if timeout is None or timeout > threading.TIMEOUT_MAX else timeout
        self._end = None if counted is None else time.monotonic() + counted

    def remaining_seconds(self) -> float | None:
        """Return the remaining seconds; None means no deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def timeout_error(self) -> DeadlineExceededError:
        """Return the error to raise when the time is over."""
        return DeadlineExceededError(
            f"not complete after {self._timeout:g} seconds; give it a longer timeout, lower "
            "max_new_tokens, or ask when the model is less busy"
        )


NEVER = Deadline(None)
