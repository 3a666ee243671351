"""Runs arms over the same rows, row by row into a file that a later run takes up again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations import __version__
from pace_integrations._renamed import keep_renamed
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.arm_pool import Batch, Job, MakeRunner, generate_records
from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings
from pace_integrations.evaluation.arms import Arm
from pace_integrations.evaluation.tasks import Row
from pace_integrations.evaluation.tasks.rows import write_jsonl

RESULTS, ROWS, RUN = "results.jsonl", "rows.jsonl", "run.json"


@dataclass(frozen=True)
class Progress:
    """The state of a run.

    Attributes:
        done: Answers there are, those of earlier runs included.
        total: Answers there will be.
        arm: The arm that was last at work.
        seconds_left: Estimate from this run's own pace; None before its first answer.
    """

    done: int
    total: int
    arm: str
    seconds_left: float | None


Show = Callable[[Progress], None]


def run_arms(
    rows: Sequence[Row],
    arms: Sequence[Arm],
    folder: Path,
    *,
    setting: RunSettings | None = None,
    orders: int = 3,
    processes: int = 1,
    interleave: bool = False,
    show: Show | None = None,
    make: MakeRunner = ArmRunner,
) -> list[dict[str, Any]]:
    """Answer every row under every arm in several document orders.

    Each answer is one line of ``results.jsonl``, written when it is there. A run into a folder
    that holds some does the others only.

    Args:
        rows: Rows; the same for all arms.
        arms: Arms, one after the other, so that one model is loaded at a time per process.
        folder: Where the records go.
        setting: What the arms have in common.
        orders: Document orders per row; rows whose documents cannot be reordered have one.
        processes: Processes, each with a model of its own and its share of the CPU's threads.
        interleave: Whether each reading goes through all arms before the next, so that a run
            that is ended early has the same rows of every arm. A process then holds a model for
            each arm.
        show: Called after every answer.
        make: Makes the reader of an arm.

    Returns:
        All records, those of earlier runs included.

    Raises:
        ConfigError: The folder holds a run of another model, setting or rows.
    """
    setting = setting or RunSettings()
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, _describe_run(rows, arms, setting))
    jobs = [(row, order) for row in rows for order in range(_count_orders(row, orders))]
    records = _recover_records(folder / RESULTS)
    done = {_record_key(r) for r in records}
    todo = [
        (arm, [(row, order) for row, order in jobs if (arm.name, row.id, order) not in done])
        for arm in arms
    ]
    meter = _ProgressMeter(len(records), sum(len(left) for _, left in todo), show)
    batches, held = _split_batches(todo, interleave), len(arms) if interleave else 1
    with (folder / RESULTS).open("a", encoding="utf-8") as file:
        for record in generate_records(batches, setting, processes, held, make):
            _check_model(record, records, folder)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            records.append(record)
            meter.step(record["arm"])
    wanted = {(arm.name, row.id, order) for arm in arms for row, order in jobs}
    return [record for record in records if _record_key(record) in wanted]


def load_records(folder: Path) -> list[dict[str, Any]]:
    """Load the records of a folder, but for a line that a killed run left incomplete."""
    return [record for record, _ in _iter_records(folder / RESULTS)]


def _split_batches(todo: Iterable[tuple[Arm, list[Job]]], interleave: bool) -> list[Batch]:
    """Put what is asked about one reading into one batch, so that one process reads it once."""
    found: dict[tuple[str, str, int], Batch] = {}
    for arm, jobs in todo:
        for row, order in jobs:
            batch = found.setdefault((arm.name, row.reading, order), (arm, []))
            batch[1].append((row, order))
    if not interleave:
        return list(found.values())
    places: dict[tuple[str, int], int] = {}
    for _, reading, order in found:
        places.setdefault((reading, order), len(places))
    return [found[key] for key in sorted(found, key=lambda key: places[key[1:]])]


def _count_orders(row: Row, orders: int) -> int:
    """Count the document orders of a row: one where fewer than two documents may move."""
    return orders if len(row.documents) - len(row.gold) > 1 else 1


def _record_key(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["arm"], record["id"], record["order"]


def _recover_records(path: Path) -> list[dict[str, Any]]:
    """Load the complete records of a file, and cut it behind the last of them."""
    if not path.exists():
        return []
    found = list(_iter_records(path))
    with path.open("r+b") as file:
        file.truncate(found[-1][1] if found else 0)
    return [record for record, _ in found]


def _iter_records(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield records and where each ends, up to the first that is not complete."""
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            record = json.loads(line)
        except ValueError:
            return
        end += len(line)
        yield record, end


def _describe_run(rows: Sequence[Row], arms: Sequence[Arm], setting: RunSettings) -> dict[str, Any]:
    return {
        "version": __version__,
        "setting": asdict(setting),
        "arms": {a.name: {"about": a.about, "memory": _memory_dict(a)} for a in arms},
        "rows": [row.to_dict() for row in rows],
    }


def _memory_dict(arm: Arm) -> dict[str, Any] | None:
    return json.loads(json.dumps(asdict(arm.memory))) if arm.memory else None


def _check_same(folder: Path, described: dict[str, Any]) -> None:
    """Write what is run, or compare it with what the folder was run with.

    Rows and arms may be added later; what an arm or the setting is may not change.
    """
    rows, path = described.pop("rows"), folder / RUN
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        known = before.get("arms", {})
        changed = [n for n in ("version", "setting") if before.get(n) != described[n]]
        changed += [n for n, arm in described["arms"].items() if known.get(n, arm) != arm]
        if changed:
            raise ConfigError(
                f"{folder} holds a run with another {', '.join(changed)}; name another folder, or "
                "remove this one"
            )
        described["arms"] = {**known, **described["arms"]}
    path.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_jsonl(folder / ROWS, rows)


def _check_model(record: dict[str, Any], before: Sequence[dict[str, Any]], folder: Path) -> None:
    """Refuse answers of other weights than those that are there."""
    if before and before[0]["revision"] != record["revision"]:
        raise ConfigError(
            f"{folder} holds answers of the weights {before[0]['revision']}, and these are "
            f"{record['revision']}; name another folder, or remove this one"
        )


class _ProgressMeter:
    """Counts answers and estimates the time left."""

    def __init__(self, before: int, left: int, show: Show | None) -> None:
        self._done, self._total = before, before + left
        self._before, self._show, self._start = before, show, time.monotonic()

    def step(self, arm: str) -> None:
        self._done += 1
        if self._show is None:
            return
        each = (time.monotonic() - self._start) / (self._done - self._before)
        left = each * (self._total - self._done)
        self._show(Progress(self._done, self._total, arm, left))


__getattr__ = keep_renamed(__name__)
