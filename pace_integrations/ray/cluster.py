"""Ray, where it is installed, and work that is shared out among actors that may be lost."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pace_integrations.errors import MissingExtraError, PaceError

_ATTEMPTS = 3  # actors that one piece of work may cost
Work = TypeVar("Work")


def import_ray() -> Any:  # noqa: ANN401 - Ray is not installed everywhere
    """Return Ray, connected to a cluster: the one that is running, or one of this machine.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("reading and serving on several machines", "ray") from error
    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True)
    return ray


class ActorTeam:
    """Actors of one kind that share out work.

    Args:
        make: Starts one of them.
        size: How many there are.
    """

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._ray = import_ray()
        self._make = make
        self._actors = [make() for _ in range(size)]

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
        running: dict[Any, tuple[int, int]] = {}
        free = list(range(len(self._actors)))
        while waiting or running:
            while free and waiting:
                actor, item = free.pop(), waiting.popleft()
                attempts[item] += 1
                running[submit(self._actors[actor], items[item])] = (actor, item)
            (done,), _ = self._ray.wait([*running], num_returns=1)
            actor, item = running.pop(done)
            free.append(actor)
            try:
                yield item, self._ray.get(done)
            except self._ray.exceptions.RayActorError as error:
                if attempts[item] == _ATTEMPTS:
                    raise PaceError(
                        f"{_ATTEMPTS} actors in turn were lost with the same work ({error}); give "
                        "each more memory, or look into the log of the cluster"
                    ) from error
                self._actors[actor] = self._make()
                waiting.appendleft(item)
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise cause if isinstance(cause, PaceError) else error from None

    def call_one(self, submit: Callable[[Any, Work], Any], item: Work) -> Any:  # noqa: ANN401
        """Return what comes of one item; see `share_out`."""
        ((_, result),) = self.share_out(submit, [item])
        return result

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)
