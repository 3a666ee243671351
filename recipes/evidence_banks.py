"""The banks inside a real model, and their similarities as a retriever of pages.

    python -m recipes.evidence_banks inside --model checkpoint --data data --out evidence
    python -m recipes.evidence_banks retriever --model checkpoint --data data --out evidence

``inside`` reads prose under every rule and notes by layer: rank, likeness and age of the slots, the
share of novel tokens, the change of norm against that of direction, and whether the novelty of a
step goes with its loss. ``retriever`` scores the pages of each question by the likeness of
activations, beside BM25. Both write a line per row, go on where they stopped, and print a summary.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pace_integrations import MemoryConfig, Pace
from pace_integrations._memory_rules import RULES
from pace_integrations.evaluation.selection import select_bm25
from pace_integrations.evaluation.tasks import Row
from pace_integrations.feed_forward import find_projections
from pace_integrations.memory import MemoryState, build_report
from pace_integrations.memory.calibration.norm_control import MemoryControl
from recipes.evidence_rows import WINDOW, Given, add_options, make_document_rows, make_prose_rows

BLOCK = 256
Line = dict[str, Any]


class ChangeMeter:
    """Norm and direction of activations before and after the memory, where it changed them."""

    def __init__(self) -> None:
        self.ratios: list[float] = []
        self.cosines: list[float] = []

    def observe(self, before: Tensor, after: Tensor) -> Tensor:
        """Note what changed and pass on what the memory made."""
        x, y = before.float().flatten(0, -2), after.float().flatten(0, -2)
        touched = (x != y).any(-1)
        if touched.any():
            x, y = x[touched], y[touched]
            self.ratios += (y.norm(dim=-1) / x.norm(dim=-1)).tolist()
            self.cosines += torch.cosine_similarity(x, y, dim=-1).tolist()
        return after


def look_inside(pace: Pace, rule: str, row: Row) -> Iterator[Line]:
    """Read one window of prose and yield a line per layer."""
    engine, network = pace._engine, pace._engine.loaded.model
    projections = find_projections(network, None)
    context, meters = engine.new_context(), {layer: ChangeMeter() for layer in projections}
    ids = engine.prompts.encode_text(row.documents[0][1])[: row.length]
    with ExitStack() as stack:
        for layer, module in projections.items():
            stack.callback(MemoryControl([module], meters[layer].observe).remove)
        losses = torch.cat(list(engine.read_losses(ids, context, chunk=BLOCK))).tolist()
    assert isinstance(context.memory, MemoryState)
    context.memory.flush()
    for report in build_report(context.memory):
        ages = [slot.age for slot in report.slots] or [0]
        steps = [step for step in report.steps if step.stop < len(ids)]
        yield {
            "rule": rule,
            "id": row.id,
            "layer": report.layer,
            "slots": len(report.slots),
            "rank": report.effective_rank,
            "cosine": report.mean_cosine,
            "age": [min(ages), sum(ages) / len(ages), max(ages)],
            "hits": report.hits.rates,
            "norm": _mean(meters[report.layer].ratios),
            "direction": _mean(meters[report.layer].cosines),
            "novelty": [step.hits.rates[2] for step in steps],
            "loss": [_mean(losses[step.start : step.stop]) for step in steps],
        }


def inspect_banks(given: Given) -> list[str]:
    """Look inside the banks under every rule, and return the lines of a summary."""
    rows, file = make_prose_rows(WINDOW)(given), given.out / "banks.jsonl"
    for rule in RULES:
        with Pace.load(given.model, memory=MemoryConfig(rule=rule), device=given.device) as pace:
            _extend(file, rows, lambda row, p=pace, r=rule: look_inside(p, r, row), rule=rule)
    lines = _read_lines(file)
    said = ["rule      layer  rank  cosine  age  novel  norm  direction  novelty with loss (r)"]
    for rule, layer in dict.fromkeys((line["rule"], line["layer"]) for line in lines):
        own = [line for line in lines if (line["rule"], line["layer"]) == (rule, layer)]
        means = [_mean([line[name] for line in own]) for name in ("rank", "cosine")]
        age, novel = _mean([line["age"][1] for line in own]), _mean([ln["hits"][2] for ln in own])
        norm, direction = (_mean([line[name] for line in own]) for name in ("norm", "direction"))
        said.append(
            f"{rule:9} {layer:5} {means[0]:5.1f} {means[1]:7.2f} {age:5.0f} {novel:6.2f} "
            f"{norm:5.2f} {direction:10.2f} {_correlate(own):10.2f}"
        )
    return said


def score_pages(pace: Pace, row: Row) -> Iterator[Line]:
    """Choose the page of a question by the likeness of activations, by layer, and by BM25."""
    asked = activations(pace, row.question)
    pages = [activations(pace, f"{title}\n{text}") for title, text in row.documents]
    chosen = {
        layer: int(
            np.argmax([float((x @ page[layer].T).amax(1).mean()) for page in pages])  # ColBERT's
        )
        for layer, x in asked.items()
    }
    best = select_bm25(row, 1, lambda text: 1)[0]
    yield {"id": row.id, "task": row.task, "gold": list(row.gold), "bm25": best, "layers": chosen}


def activations(pace: Pace, text: str) -> dict[int, Tensor]:
    """Return unit activations ``(tokens, d_ff)`` of a text in the layers of the default banks."""
    engine, seen = pace._engine, {}
    with ExitStack() as stack:
        for layer, module in find_projections(engine.loaded.model, None).items():

            def note(_: object, args: tuple[Tensor], at: int = layer) -> None:
                seen[at] = torch.nn.functional.normalize(args[0][0].float(), dim=-1)

            stack.callback(module.register_forward_pre_hook(note).remove)
        ids = engine.prompts.encode_text(text)
        list(engine.read(ids, engine.new_context(), cuts=(), chunk=len(ids)))
    return seen


def compare_retrievers(given: Given) -> list[str]:
    """Score every question's pages, and return the shares of right first pages."""
    rows, file = make_document_rows(given), given.out / "retriever.jsonl"
    _extend(file, rows, lambda row: score_pages(given.pace, row))
    said = ["task     rows  right first page by"]
    lines = _read_lines(file)
    for task in dict.fromkeys(line["task"] for line in lines):
        own = [line for line in lines if line["task"] == task]
        shares = {"BM25": _mean([float(line["bm25"] in line["gold"]) for line in own])}
        for layer in own[0]["layers"]:
            hits = [float(line["layers"][layer] in line["gold"]) for line in own]
            shares[f"layer {layer}"] = _mean(hits)
        shown = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        said.append(f"{task:8} {len(own):4}  {shown}")
    return said


def _extend(
    file: Path, rows: Sequence[Row], make: Callable[[Row], Iterator[Line]], **fixed: str
) -> None:
    """Append the lines of the rows that have none yet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    known = {line["id"] for line in _read_lines(file) if fixed.items() <= line.items()}
    with file.open("a", encoding="utf-8") as out:
        for row in rows:
            if row.id not in known:
                # One write for all lines of a row, so that a kill leaves none or all of them.
                out.write("".join(json.dumps(line) + "\n" for line in make(row)))
                out.flush()


def _read_lines(file: Path) -> list[Line]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _correlate(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the correlation of steps' novelty with their loss, over all lines."""
    novelty = [value for line in lines for value in line["novelty"]]
    loss = [value for line in lines for value in line["loss"]]
    if len(novelty) < 3 or np.std(novelty) == 0:
        return float("nan")
    return float(np.corrcoef(novelty, loss)[0, 1])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


KINDS: dict[str, Callable[[Given], list[str]]] = {
    "inside": inspect_banks,
    "retriever": compare_retrievers,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    add_options(parser)
    chosen = parser.parse_args(arguments)
    given = Given(chosen.model, chosen.data, chosen.out, chosen.rows, device=chosen.device)
    print("\n".join(KINDS[chosen.kind](given)))


if __name__ == "__main__":
    main()
