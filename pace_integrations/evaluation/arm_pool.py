"""Arms at work, in this process or in several: batches of rows in, records out."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from typing import Any

import torch

from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings
from pace_integrations.evaluation.arms import Arm
from pace_integrations.evaluation.tasks import Row

Job = tuple[Row, int]
Batch = tuple[Arm, list[Job]]
MakeRunner = Callable[[Arm, RunSettings], ArmRunner]


def generate_records(
    batches: Sequence[Batch], setting: RunSettings, processes: int, held: int, make: MakeRunner
) -> Iterator[dict[str, Any]]:
    """Answer batches and yield a record per row.

    Args:
        batches: Arms with documents in one order and questions about them, as they are begun.
        setting: What the arms have in common.
        processes: Processes; with more than one, records come as they are ready.
        held: Arms whose models a process keeps loaded.
        make: Makes the reader of an arm in this process.
    """
    if processes > 1:
        yield from _run_in_processes(batches, setting, processes, held)
        return
    with closing(_Runners(setting, held, make)) as runners:
        for arm, jobs in batches:
            yield from runners.get(arm).answer_rows(jobs)


def _run_in_processes(
    batches: Sequence[Batch], setting: RunSettings, processes: int, held: int
) -> Iterator[dict[str, Any]]:
    """Yield answers from several processes, in whatever order they come."""
    # The processes import nothing from the working directory, where a user's types.py may lie.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    # Forking would copy locks that PyTorch's threads hold.
    context = multiprocessing.get_context("spawn")
    given = (setting, held, max(1, torch.get_num_threads() // processes))
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start_process, initargs=given
    ) as pool:
        waiting: set[Future[list[dict[str, Any]]]] = {
            pool.submit(_answer_batch, arm, jobs) for arm, jobs in batches
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Runners:
    """The readers of the arms last asked for, at most `held` of them."""

    def __init__(self, setting: RunSettings, held: int, make: MakeRunner = ArmRunner) -> None:
        self._setting, self._held, self._make = setting, held, make
        self._runners: dict[str, ArmRunner] = {}

    def get(self, arm: Arm) -> ArmRunner:
        """Return the reader of an arm, loaded if it is not held."""
        if arm.name not in self._runners:
            if len(self._runners) >= self._held:
                self._runners.pop(next(iter(self._runners))).close()
            self._runners[arm.name] = self._make(arm, self._setting)
        return self._runners[arm.name]

    def close(self) -> None:
        """Close all of them."""
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()


_runners: list[_Runners] = []  # of a process of the pool: its only one


def _start_process(setting: RunSettings, held: int, threads: int) -> None:
    """Prepare a process of the pool."""
    torch.set_num_threads(threads)
    _runners.append(_Runners(setting, held))
    # A killed parent leaves nobody to read the answers, and the pool would wait for more jobs.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer_batch(arm: Arm, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Answer some rows in a process of the pool."""
    return list(_runners[0].get(arm).answer_rows(jobs))
