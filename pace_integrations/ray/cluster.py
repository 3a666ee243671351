"""Ray, where it is installed, and work that is shared out among actors that may be lost."""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pace_integrations.errors import MissingExtraError, PaceError

_ATTEMPTS = 3  # actors that one piece of work may cost
Work = TypeVar("Work")


def import_ray() -> Any:  # noqa: ANN401 - Ray is not installed everywhere
    """Return Ray, connected to a cluster: the one that is running, or one of this machine.

    One that is started here has no dashboard, and tells nobody that it is used.

    Raises:
        MissingExtraError: It is not installed.
        PaceError: No cluster can be reached or started.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("reading and serving on several machines", "ray") from error
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(ignore_reinit_error=True, include_dashboard=False)
        except Exception as error:  # Ray's own, of several kinds
            raise PaceError(
                f"no Ray cluster can be reached or started: {error}; check RAY_ADDRESS, or what "
                "the log in /tmp/ray/session_latest/logs says"
            ) from error
    return ray


class ActorTeam:
    """Actors of one kind that share out work. Who has no room in the cluster yet is not waited for.

    Args:
        make: Makes one of them; its constructor does nothing that can fail.
        start: Makes one ready for work, and gives Ray's reference to when it is.
        size: How many there are.
    """

    def __init__(self, make: Callable[[], Any], start: Callable[[Any], Any], size: int) -> None:
        self._ray = import_ray()
        self._make = make
        self._start = start
        self._all: list[Any] = []
        self._free: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._lost = 0  # one after the other, before they were ready
        for _ in range(size):
            self._add()

    def share_out(
        self, submit: Callable[[Any, Work], Any], items: Sequence[Work]
    ) -> Iterator[tuple[int, Any]]:
        """Yield what comes of each item, in the order in which they are done.

        Who is free takes the next one. What an actor had in hand when it was lost goes to a new
        one.

        Args:
            submit: Starts an item on an actor and gives Ray's reference to its result.
            items: The work.

        Yields:
            An item's place and its result.

        Raises:
            PaceError: Several actors were lost with one item; or what an item itself raised.
        """
        waiting, attempts = deque(range(len(items))), [0] * len(items)
        running: dict[Any, tuple[Any, int]] = {}
        while waiting or running:
            while self._free and waiting:
                actor, item = self._free.pop(), waiting.popleft()
                attempts[item] += 1
                running[submit(actor, items[item])] = actor, item
            (done,), _ = self._ray.wait([*running, *self._starting], num_returns=1)
            if done in self._starting:
                self._take_in(done)
                continue
            actor, item = running.pop(done)
            try:
                result = self._get(done)
            except self._ray.exceptions.RayActorError as error:
                if attempts[item] == _ATTEMPTS:
                    raise _give_up("with the same work", error) from error
                self._replace(actor)
                waiting.appendleft(item)
            else:
                self._free.append(actor)
                yield item, result

    def call_one(self, submit: Callable[[Any, Work], Any], item: Work) -> Any:  # noqa: ANN401
        """Return what comes of one item; see `share_out`."""
        ((_, result),) = self.share_out(submit, [item])
        return result

    def close(self) -> None:
        """End the actors."""
        for actor in self._all:
            self._ray.kill(actor)

    def _add(self) -> None:
        actor = self._make()
        self._all.append(actor)
        self._starting[self._start(actor)] = actor

    def _replace(self, actor: Any) -> None:  # noqa: ANN401
        self._all.remove(actor)
        self._add()

    def _take_in(self, ready: Any) -> None:  # noqa: ANN401
        """Give work from now on to an actor that has started."""
        actor = self._starting.pop(ready)
        try:
            self._get(ready)
        except self._ray.exceptions.RayActorError as error:
            self._lost += 1
            if self._lost == _ATTEMPTS:
                raise _give_up("while they started", error) from error
            self._replace(actor)
        else:
            self._lost = 0
            self._free.append(actor)

    def _get(self, done: Any) -> Any:  # noqa: ANN401
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, PaceError) else error from None


def _give_up(when: str, error: Exception) -> PaceError:
    return PaceError(
        f"{_ATTEMPTS} actors in turn were lost {when} ({error}); give each more memory, or look "
        "into the log of the cluster"
    )
