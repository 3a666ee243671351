"""Losses of prose under an arm are those of the model's own logits, with and without a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pace_integrations.config import MemoryConfig
from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings
from pace_integrations.evaluation.arms import Arm
from pace_integrations.evaluation.runner import load_records, run_arms
from pace_integrations.evaluation.tasks.rows import LOSS, Row

MEMORY = MemoryConfig(step=64, slots=8, layers=(0, 2), theta_low=0.0, theta_high=0.3, blend=0.5)
TEXT = " ".join(f"The gate {i % 7} opens at {i % 24}:30 and bread is baked." for i in range(400))


def prose(length: int, start: int = 0) -> Row:
    return Row("prose", (("", TEXT[start:]),), "", (), metric=LOSS, length=length)


def answer(arm: Arm, setting: RunSettings, row: Row) -> tuple[dict, ArmRunner]:
    runner = ArmRunner(arm, setting)
    try:
        return runner.answer(row), runner
    finally:
        runner.close()


def mean_of_blocks(record: dict, start: int) -> float:
    counts = [min(record["block"], record["tokens"] - 1 - i * record["block"])
              for i in range(len(record["losses"]))]  # fmt: skip
    chosen = range(start // record["block"], len(counts))
    return sum(record["losses"][i] * counts[i] for i in chosen) / sum(counts[i] for i in chosen)


@pytest.mark.parametrize("length", [100, 600])
def test_the_loss_is_that_of_one_forward_over_all(tiny_path: Path, length: int) -> None:
    record, runner = answer(
        Arm("off", ""), RunSettings(str(tiny_path), dtype="float32"), prose(length)
    )
    ids = torch.tensor([runner.pace.token_ids(TEXT)[:length]])
    with torch.no_grad():
        logs = runner.network(ids).logits[0].float().log_softmax(-1)
    losses = -logs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    half = len(losses) // 2 // 256 * 256
    assert record["tokens"] == length
    assert record["score"] == pytest.approx(-float(losses[half:].mean()), rel=1e-4)
    assert mean_of_blocks(record, half) == pytest.approx(-record["score"], rel=1e-4)
    assert mean_of_blocks(record, 0) == pytest.approx(float(losses.mean()), rel=1e-4)
    assert record["memory"] is None


def test_a_memory_changes_the_loss_and_a_blend_of_nothing_does_not(tiny_path: Path) -> None:
    setting = RunSettings(str(tiny_path), dtype="float32")
    off, on, same = (
        answer(Arm(name, "", memory), setting, prose(600))[0]
        for name, memory in (
            ("off", None),
            ("on", MEMORY),
            ("same", replace(MEMORY, blend=0.0)),
        )
    )
    assert same["losses"] == off["losses"]
    assert on["losses"] != off["losses"]
    # Two layers look every token up.
    assert sum(on["memory"].values()) == sum(same["memory"].values()) == 2 * 600


def test_a_window_reads_on_beyond_the_context(tiny_path: Path) -> None:
    setting = RunSettings(str(tiny_path), dtype="float32", overflow="window", context=400)
    long, _ = answer(Arm("off", ""), setting, prose(900))
    short, _ = answer(Arm("off", ""), replace(setting, overflow="error"), prose(900))
    assert (long["tokens"], short["tokens"]) == (900, 400)
    assert long["losses"][0] == pytest.approx(short["losses"][0], rel=1e-5)


def test_a_run_over_prose_is_taken_up_again(tiny_path: Path, tmp_path: Path) -> None:
    rows, arms = [prose(200, 37 * i) for i in range(3)], [Arm("off", ""), Arm("on", "", MEMORY)]
    setting = RunSettings(str(tiny_path), dtype="float32")
    first = run_arms(rows[:2], arms, tmp_path, setting=setting)
    both = run_arms(rows, arms, tmp_path, setting=setting)
    assert len(load_records(tmp_path)) == len(both) == 6
    assert [r for r in both if r in first] == first
