"""How work is shared out among actors that start late, fail or are lost; Ray itself is made up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pace_integrations.errors import LibraryFileError, PaceError
from pace_integrations.ray.cluster import ActorTeam


class LostError(Exception):
    """As Ray's RayActorError."""


class TaskError(Exception):
    """As Ray's RayTaskError."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class MadeUpRay:
    """What is asked of actors is done when it is waited for, the newest first."""

    exceptions = SimpleNamespace(RayActorError=LostError, RayTaskError=TaskError)

    def __init__(self) -> None:
        self.killed: list[object] = []

    def is_initialized(self) -> bool:
        return True

    def wait(self, refs: Sequence[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        done = next(ref for ref in reversed(refs) if ref.ready)
        return [done], [ref for ref in refs if ref is not done]

    def get(self, ref: Any) -> object:
        return ref.work()

    def kill(self, actor: object) -> None:
        self.killed.append(actor)


class Ref:
    """A reference to what will be known."""

    def __init__(self, work: Callable[[], object], *, ready: bool = True) -> None:
        self.work, self.ready = work, ready


def fail(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> MadeUpRay:
    made = MadeUpRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def make_team(start: Callable[[int], Any], size: int) -> ActorTeam:
    numbers = iter(range(99))
    return ActorTeam(lambda: next(numbers), start, size)


def started(number: int) -> Any:
    return Ref(lambda: None)


def test_all_work_is_done_once_and_the_actors_end(ray: MadeUpRay) -> None:
    team = make_team(started, 2)
    submit = lambda actor, item: Ref(lambda: (actor, item * 10))  # noqa: E731
    found = dict(team.share_out(submit, range(7)))
    assert {i: value for i, (_, value) in found.items()} == {i: 10 * i for i in range(7)}
    assert team.call_one(submit, 5)[1] == 50
    team.close()
    assert ray.killed == [0, 1]


def test_who_has_no_room_is_not_waited_for(ray: MadeUpRay) -> None:
    team = make_team(lambda number: Ref(lambda: None, ready=number == 1), 3)
    found = dict(team.share_out(lambda actor, item: Ref(lambda: actor), range(4)))
    assert found == dict.fromkeys(range(4), 1)
    team.close()
    assert ray.killed == [0, 1, 2]


def test_what_a_lost_actor_had_in_hand_goes_to_a_new_one(ray: MadeUpRay) -> None:
    def submit(actor: int, item: int) -> Any:
        return Ref(fail(LostError("killed")) if actor == 0 else lambda: (actor, item))

    team = make_team(started, 1)
    assert dict(team.share_out(submit, range(3))) == {i: (1, i) for i in range(3)}
    team.close()
    assert ray.killed == [1]


def test_work_that_loses_every_actor_ends_with_an_error(ray: MadeUpRay) -> None:
    team = make_team(started, 2)
    lost = lambda actor, item: Ref(fail(LostError("out of memory")))  # noqa: E731
    with pytest.raises(PaceError, match=r"3 actors in turn.*out of memory"):
        dict(team.share_out(lost, range(1)))


@pytest.mark.parametrize("when", ["start", "work"])
def test_what_an_actor_refuses_is_told_as_it_is(ray: MadeUpRay, when: str) -> None:
    refused = fail(TaskError(LibraryFileError("is no library")))
    team = make_team(started if when == "work" else lambda number: Ref(refused), 2)
    with pytest.raises(LibraryFileError, match="is no library"):
        dict(team.share_out(lambda actor, item: Ref(refused), range(2)))


def test_actors_that_are_lost_while_they_start_are_replaced_thrice(ray: MadeUpRay) -> None:
    late = make_team(lambda number: Ref(fail(LostError("no")) if number < 2 else lambda: None), 1)
    assert dict(late.share_out(lambda actor, item: Ref(lambda: actor), range(2))) == {0: 2, 1: 2}
    never = make_team(lambda number: Ref(fail(LostError("no memory"))), 1)
    with pytest.raises(PaceError, match=r"while they started.*no memory"):
        dict(never.share_out(lambda actor, item: Ref(lambda: actor), range(2)))
