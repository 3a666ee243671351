"""The recipes of the paper's ablations and of the overhead run, and compare what they say."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from pace_integrations import Pace
from pace_integrations._memory_rules import RULES
from pace_integrations.evaluation.runner import load_records
from recipes import ablations, bench_overhead


@pytest.mark.parametrize("depth", [4, 28])
@pytest.mark.parametrize("kind", ablations.ABLATIONS)
def test_arms_differ_in_what_is_ablated_and_in_nothing_else(kind: str, depth: int) -> None:
    arms = ablations.ABLATIONS[kind](depth)
    configs = [arm.memory for arm in arms]
    assert len(set(configs)) == len({arm.name for arm in arms}) == len(arms) >= 4
    fields = {
        "layers": {"layers"},
        "thresholds": {"theta_low", "theta_high"},
        "negatives": {"negative_weight", "bottom_k"},
        "slots": {"slots"},
        "steps": {"step"},
    }
    free = fields[kind]
    for name in set(configs[0].__slots__) - free:
        assert len({getattr(config, name) for config in configs}) == 1


def test_layers_of_the_paper_are_among_them() -> None:
    assert (12, 26) in [arm.memory.layers for arm in ablations.vary_layers(28)]
    assert (0.3, 0.7) in ablations.THRESHOLDS
    assert ablations.NEGATIVES[0][0] == 0


def test_an_ablation_is_reported_beside_the_published_figures(
    tiny_path: Path, tmp_path: Path
) -> None:
    options = {"tasks": ["mdqa"], "lengths": [300], "rows": 1, "orders": 1}
    lines = ablations.ablate("thresholds", tmp_path, model=str(tiny_path), **options)
    assert len({r["arm"] for r in load_records(tmp_path)}) == len(ablations.THRESHOLDS) + 2
    assert "44.68" in lines[-3]
    assert (tmp_path / "report.html").is_file()


def test_the_overhead_is_a_ratio_for_every_rule() -> None:
    line = bench_overhead.measure(64, 2, 64, pairs=1, tokens=2)
    size, length, _, *rules = line.split(" | ")
    assert (size.endswith("M"), length) == (True, "64")
    assert len(rules) == len(bench_overhead.RULES)
    assert all(float(x) > 0 for rule in rules for x in rule.split(", "))


def test_the_default_is_what_the_evidence_speaks_for() -> None:
    """Memory off, as long as no rule is better than it on any family of either real model."""
    text = (Path(ablations.__file__).parent / "evidence.md").read_text(encoding="utf-8")
    measured = text.partition("## Real weights")[2].partition("## The embedded model")[0]
    found = [
        line for line in measured.splitlines() if line.startswith(tuple(f"| {r}:" for r in RULES))
    ]
    assert len(found) >= 3 * len(RULES)
    better = [line for line in found if "**better**" in line]
    default = inspect.signature(Pace.load).parameters["memory"].default
    assert (default is None) == (not better)
