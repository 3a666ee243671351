"""Arms on the same rows: equal where they must be, different where they must be, resumable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from tiny import tiny_model

from pace_integrations import Pace
from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings, strip_citations
from pace_integrations.evaluation.arms import ARMS, Arm, choose_arms
from pace_integrations.evaluation.controls import (
    attach_norm_control,
    attach_random_memory,
    reorder_randomly,
)
from pace_integrations.evaluation.runner import load_records, run_arms
from pace_integrations.evaluation.selection import select_bm25, select_last
from pace_integrations.evaluation.statistics import compare_arms
from pace_integrations.evaluation.tasks import Row, TaskSpec, generate_rows
from pace_integrations.memory import MemoryPatch
from pace_integrations.model.prompts import UNANSWERABLE

MEMORY = MemoryConfig(step=16, slots=8, layers=(0, 2), theta_low=0.0, theta_high=0.3)


@pytest.fixture(scope="module")
def setting(tiny_path: Path) -> RunSettings:
    return RunSettings(model=str(tiny_path), dtype="float32", max_new_tokens=4)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return generate_rows("mdqa", TaskSpec(length=230, rows=3))


def predictions(records, arm: str) -> dict[tuple[str, int], str]:
    return {(r["id"], r["order"]): r["prediction"] for r in records if r["arm"] == arm}


def test_rows_about_one_text_answered_together_are_answered_as_alone(
    setting, tiny_path: Path, tmp_path: Path
) -> None:
    rows = generate_rows("niah", TaskSpec(length=200, rows=6, together=3))
    rows += generate_rows("mdqa", TaskSpec(length=230, rows=2))
    arms = [Arm("off", ""), Arm("released", "", MEMORY), ARMS["bm25"]]
    alone, together = (
        run_arms(rows, arms, tmp_path / str(batch), setting=replace(setting, batch=batch), orders=1)
        for batch in (1, 4)
    )
    kept = ("arm", "id", "order", "prediction", "score", "tokens", "citation_recall")
    assert [[r[name] for name in kept] for r in alone] == [
        [r[name] for name in kept] for r in together
    ]
    assert len(alone) == len(arms) * 8


def test_arms_that_must_be_equal_are_equal(rows, setting, tmp_path: Path) -> None:
    released = Arm("released", "", replace(MEMORY, blend=0.5))
    same = [
        Arm("blend0", "", replace(MEMORY, blend=0.0)),
        Arm("permuted", "", None, reorder_randomly),
        Arm("full", "", one_pass=True),
    ]
    records = run_arms(rows, [Arm("off", ""), *same, released], tmp_path, setting=setting, orders=2)
    off = predictions(records, "off")
    assert len(off) == 6
    for arm in same:
        assert predictions(records, arm.name) == off
    assert predictions(records, "released") != off
    assert all((r["memory"] is None) == (r["arm"] in {"off", "permuted", "full"}) for r in records)


class Copying(ArmRunner):
    """A reader with a memory that copies: it drives the output to the tokens of the answer."""

    def __init__(self, arm: Arm, setting: RunSettings) -> None:
        super().__init__(arm, setting)
        self._left: list[int] = []
        if arm.name == "planted":
            self.network.get_output_embeddings().register_forward_hook(self._copy)

    def answer(self, row: Row, order: int = 0):
        self._left = self.pace.token_ids(row.answers[0])[: self.setting.max_new_tokens]
        return super().answer(row, order)

    def _copy(self, module, args, logits):
        if not self._left:
            return logits
        logits = logits.clone()
        logits[..., -1, self._left.pop(0)] += 1e4
        return logits


def test_rows_about_one_text_are_read_once_and_answered_as_alone(
    setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = generate_rows("niah", TaskSpec(length=200, rows=5, together=3))
    arm, read = Arm("released", "", MEMORY), []
    alone = [run_arms([row], [arm], tmp_path / row.id, setting=setting)[0] for row in rows]
    pace_read = Pace.read
    monkeypatch.setattr(Pace, "read", lambda *a, **k: read.append(1) or pace_read(*a, **k))
    together = run_arms(rows, [arm], tmp_path / "all", setting=setting, orders=1)
    assert len(read) == 2
    assert [r["prediction"] for r in together] == [r["prediction"] for r in alone]


def test_a_planted_effect_is_found_with_its_interval_clear_of_zero(setting, tmp_path: Path) -> None:
    rows = generate_rows("niah", TaskSpec(length=100, rows=6))
    setting = replace(setting, max_new_tokens=5)
    wanted = [Arm("off", ""), Arm("planted", "", MEMORY), Arm("released", "", MEMORY)]
    records = run_arms(rows, wanted, tmp_path, setting=setting, orders=1, make=Copying)
    found = {c.arm: c for c in compare_arms(records)}
    assert found["planted"].verdict == "better"
    assert found["planted"].difference.low > 0
    assert found["released"].verdict == found["off"].verdict == "no evidence"


def test_a_killed_run_goes_on_where_it_was(rows, setting, tmp_path: Path) -> None:
    wanted = [Arm("off", ""), Arm("released", "", MEMORY)]
    asked: list[tuple[str, str, int]] = []

    class Dying(ArmRunner):
        def answer(self, row, order=0):
            if len(asked) == 4:
                raise KeyboardInterrupt
            asked.append((self.arm.name, row.id, order))
            return super().answer(row, order)

    with pytest.raises(KeyboardInterrupt):
        run_arms(rows, wanted, tmp_path / "a", setting=setting, orders=2, make=Dying)
    file = tmp_path / "a" / "results.jsonl"
    assert len(load_records(tmp_path / "a")) == 4
    with file.open("a") as stream:
        stream.write('{"arm": "off", "id": "cut o')  # the power went
    assert len(load_records(tmp_path / "a")) == 4

    class Counting(ArmRunner):
        def answer(self, row, order=0):
            asked.append((self.arm.name, row.id, order))
            return super().answer(row, order)

    seen = []
    resumed = run_arms(
        rows,
        wanted,
        tmp_path / "a",
        setting=setting,
        orders=2,
        make=Counting,
        show=lambda p: seen.append((p.done, p.total)),
    )
    assert len(asked) == len(set(asked)) == 12
    assert seen == [(n, 12) for n in range(5, 13)]
    assert resumed == [json.loads(line) for line in file.read_text().splitlines()]
    whole = run_arms(rows, wanted, tmp_path / "b", setting=setting, orders=2)
    for arm in ("off", "released"):
        assert predictions(resumed, arm) == predictions(whole, arm)
    assert run_arms(rows, wanted, tmp_path / "a", setting=setting, orders=2, make=None) == resumed


def test_several_processes_give_the_same_records(rows, setting, tmp_path: Path) -> None:
    wanted = choose_arms(["blend0"])
    one = run_arms(rows[:1], wanted, tmp_path / "one", setting=setting, orders=1)
    two = run_arms(rows[:1], wanted, tmp_path / "two", setting=setting, orders=1, processes=2)
    assert [a.name for a in wanted] == ["off", "blend0"]
    for arm in wanted:
        assert predictions(one, arm.name) == predictions(two, arm.name)


def test_a_folder_of_another_run_is_refused(rows, setting, tmp_path: Path) -> None:
    run_arms(rows[:1], [Arm("off", "")], tmp_path, setting=setting, orders=1)
    with pytest.raises(ConfigError, match="setting"):
        run_arms(rows, [Arm("off", "")], tmp_path, setting=replace(setting, chunk=8), orders=1)
    with pytest.raises(ConfigError, match="off"):
        run_arms(rows, [Arm("off", "", MEMORY)], tmp_path, setting=setting, orders=1)
    more = run_arms(rows[1:], [Arm("off", "")], tmp_path, setting=setting, orders=1)
    other = save_tiny(tmp_path / "weights", seed=1)
    moved = tmp_path / "run.json"  # as if the same path had been filled with other weights
    moved.write_text(moved.read_text().replace(str(setting.model), str(other)))
    with pytest.raises(ConfigError, match="weights"):
        run_arms(rows, [Arm("blend0", "")], tmp_path, setting=replace(setting, model=str(other)))
    assert {r["id"] for r in more} == {row.id for row in rows[1:]}
    assert len(load_records(tmp_path)) == 3


def control(attach, config: MemoryConfig | None, tokens: torch.Tensor):
    """Activations of the memory's blocks, and logits, of one read of tokens."""
    model = tiny_model()
    patch = MemoryPatch(model, config) if config else None
    seen: dict[str, list[torch.Tensor]] = {"in": [], "out": []}
    module = model.model.layers[2].mlp.down_proj
    module.register_forward_pre_hook(lambda _, a: seen["in"].append(a[0]), prepend=True)
    handle = attach(model, config) if attach else None
    module.register_forward_pre_hook(lambda _, a: seen["out"].append(a[0]))
    with torch.inference_mode():
        if patch:
            with patch.reading(patch.new_state()):
                logits = model(tokens).logits
        else:
            logits = model(tokens).logits
        if handle:
            handle.remove()
        if patch:
            patch.remove()
        after = model(tokens).logits
    return seen["in"][0], seen["out"][0], logits, after


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(3, 128, (1, 60), generator=torch.Generator().manual_seed(0))


ONE = replace(MEMORY, layers=(2,), blend=0.5)


def test_scale_only_keeps_directions_and_takes_the_memorys_lengths(tokens) -> None:
    before, scaled, _, after = control(attach_norm_control, ONE, tokens)
    _, real, _, plain = control(None, ONE, tokens)
    assert torch.equal(after, plain)
    cosine = torch.cosine_similarity(before, scaled, dim=-1)
    assert torch.allclose(cosine, torch.ones_like(cosine), atol=1e-5)
    assert torch.allclose(scaled.norm(dim=-1), real.norm(dim=-1), rtol=1e-4)
    assert not torch.allclose(scaled, real, atol=1e-3)
    assert not torch.allclose(scaled, before, atol=1e-3)


def test_random_memory_keeps_what_is_added_but_for_its_direction(tokens) -> None:
    before, random, _, _ = control(attach_random_memory, ONE, tokens)
    _, real, _, _ = control(None, ONE, tokens)
    touched = (real != before).any(-1)
    assert 0 < touched.sum() < touched.numel()
    assert torch.equal(random[~touched], before[~touched])
    added, turned = ((t - 0.5 * before)[touched] for t in (real, random))
    assert torch.allclose(added.norm(dim=-1), turned.norm(dim=-1), rtol=1e-4)
    assert torch.cosine_similarity(added, turned, dim=-1).abs().mean() < 0.2


@pytest.mark.parametrize("config", [None, ONE])
def test_reordered_neurons_change_rounding_only_and_are_put_back(tokens, config) -> None:
    before, _, logits, after = control(reorder_randomly, config, tokens)
    own, _, plain, untouched = control(None, config, tokens)
    assert torch.equal(after, untouched)
    assert torch.allclose(logits, plain, atol=1e-4)
    assert not torch.equal(before, own)
    assert torch.allclose(before.sort(-1).values, own.sort(-1).values, atol=1e-4)


def test_controls_need_a_memory_of_the_released_rule() -> None:
    with pytest.raises(ConfigError, match="memory"):
        attach_norm_control(tiny_model(), None)
    with pytest.raises(ConfigError, match="released"):
        attach_random_memory(tiny_model(), replace(MEMORY, rule="slotwise"))


def test_documents_are_chosen_under_the_budget() -> None:
    row = generate_rows("mdqa", TaskSpec(length=1500, rows=3))[2]

    def count(text: str) -> int:
        return len(text.split())

    sizes = [count(f"{t}\n{x}") for t, x in row.documents]
    for choose_ in (select_last, select_bm25):
        for share in (0.01, 0.3, 0.6):
            budget = int(share * sum(sizes))
            kept = choose_(row, budget, count)
            assert kept == sorted(set(kept))
            assert len(kept) == 1 or sum(sizes[i] for i in kept) <= budget
        assert choose_(row, sum(sizes), count) == list(range(len(sizes)))
    assert row.gold[0] in select_bm25(row, sum(sizes) // 4, count)
    assert select_last(row, sum(sizes) // 4, count)[-1] == len(sizes) - 1


def test_bm25_ranks_by_its_formula() -> None:
    from math import log

    texts = ["red fox", "red red hen runs", "blue fox and red hen", "green"]
    row = Row("t", tuple(("", t) for t in texts), "red hen", ("x",))
    size = sum(len(t.split()) for t in texts) / 4

    def bm25(text: str) -> float:
        words, total = text.split(), 0.0
        for term in ("red", "hen"):
            df, tf = sum(term in t.split() for t in texts), words.count(term)
            idf = log(1 + (4 - df + 0.5) / (df + 0.5))
            total += idf * tf / (tf + 1.5 * (0.25 + 0.75 * len(words) / size))
        return total

    best = sorted(range(4), key=lambda i: -bm25(texts[i]))
    chosen = [select_bm25(row, n, lambda t: 1) for n in (1, 2, 3, 4)]
    assert chosen == [sorted(best[:n]) for n in (1, 2, 3, 4)]


def test_citation_marks_are_no_part_of_an_answer() -> None:
    assert strip_citations("Paris [1]") == "Paris"
    assert strip_citations("Paris [1, 2] and Rome [3].") == "Paris and Rome."
    assert strip_citations("[7]") == ""


def test_a_refusal_is_silence() -> None:
    assert [strip_citations(f"{UNANSWERABLE} [1]"), strip_citations(UNANSWERABLE)] == ["", ""]
    assert strip_citations(f"{UNANSWERABLE} Perhaps Rome.").endswith("Rome.")


def test_unknown_arms_are_named_and_off_comes_first() -> None:
    with pytest.raises(ConfigError, match="no arm relesed"):
        choose_arms(["relesed"])
    assert [arm.name for arm in choose_arms(["paper", "off", "paper"])] == ["off", "paper"]
    assert ARMS["default"].memory == MemoryConfig()
