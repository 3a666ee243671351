"""The recipe of the embedded model, on a few kilobytes made here."""

from __future__ import annotations

import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pace_integrations.model.prompts import INSTRUCTION, Prompts, passage_text
from recipes.train_nano import formats, metrics, tasks
from recipes.train_nano.__main__ import CHARACTERS, VOCABULARY
from recipes.train_nano.compose import Composer, Mix
from recipes.train_nano.evaluate import Reader, score
from recipes.train_nano.export import export
from recipes.train_nano.facts import conflicts, make_facts
from recipes.train_nano.model import SHAPES, Trunk, build
from recipes.train_nano.plan import PLANS, shortened
from recipes.train_nano.prepare import prepare
from recipes.train_nano.relations import HELD_OUT, TRAINING
from recipes.train_nano.sources import load_sources
from recipes.train_nano.tokenizer import PADDING, load_tokenizer
from recipes.train_nano.train import Trainer, train
from recipes.train_nano.values import Maker

ROOT = Path(__file__).parents[2]
STEPS = 12


def _invented(count: int) -> str:
    """Sentences of words that mean nothing."""
    rng = random.Random(count)
    words = ["".join(rng.choices("abdegilmnorstu", k=rng.randint(4, 8))) for _ in range(60)]
    made = []
    for _ in range(count):
        name = rng.choice(words).capitalize()
        made.append(f"In the {' '.join(rng.choices(words, k=6))} of {name} was seen.")
    return " ".join(made)


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    with lzma.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for part in (0, 1):
        _write(folder / f"p{part}.xz", [{"text": _invented(40 + part + i)} for i in range(3)])
    rows = []
    for i in range(8):
        text = f"{_invented(3 + i)} The town of Orvel has {i + 2} bridges."
        row = {"title": f"Towns {i}", "context": text, "question": "How many bridges has Orvel?"}
        rows.append({**row, "answers": [f"{i + 2} bridges"]})
    rows.append({**rows[0], "question": "Who built Orvel?", "answers": []})
    _write(folder / "qa.xz", rows)
    return folder


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "prepared"
    prepare(data, folder, characters=CHARACTERS["smoke"], vocabulary=VOCABULARY["smoke"])
    return folder


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    plan = shortened(PLANS["smoke"], STEPS, None)
    return train(prepared, tmp_path_factory.mktemp("train"), SHAPES["smoke"], plan)


@pytest.fixture(scope="module")
def checkpoint(trained: Trainer, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    export(trained.state(), prepared, folder, SHAPES["smoke"])
    return folder


def _composer(prepared: Path) -> Composer:
    return Composer(load_sources(prepared), load_tokenizer(prepared), 5)


@pytest.mark.parametrize("kind", ["copy", "cite", "facts", "pairs", "mixed", "prose"])
def test_batches_are_a_function_of_the_step(prepared: Path, kind: str) -> None:
    mix = Mix({kind: 1.0}, bare=0.5)
    first = _composer(prepared).batch(3, 4, 256, mix)
    again = _composer(prepared).batch(3, 4, 256, mix)
    other = _composer(prepared).batch(4, 4, 256, mix)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    ids, weights = first
    assert ids.shape == weights.shape == (4, 257)
    assert weights.sum() > 0
    assert not weights[ids == PADDING].any()


def test_answers_bear_the_loss_and_stand_in_the_passages(prepared: Path) -> None:
    tokenizer = load_tokenizer(prepared)
    ids, weights = _composer(prepared).batch(0, 6, 512, Mix({"facts": 1.0}, context=0, plain=0))
    replies = 0
    for row, weight in zip(ids, weights, strict=True):
        text = " ".join(tokenizer.decode(row.tolist()).split())
        spans = tokenizer.decode(row[weight >= 1].tolist(), skip_special_tokens=False)
        for reply in spans.split(formats.END)[:-1]:
            answer, page = metrics.split_citation(reply)
            replies += 1
            assert text.count(answer) > 1 or metrics.refuses(answer)
            assert metrics.refuses(answer) or page is not None
    assert replies > 6


def test_facts_of_a_library_have_one_answer_each(prepared: Path) -> None:
    maker = Maker(np.random.default_rng(1), load_sources(prepared).words)
    facts = make_facts(maker, 60)
    assert len(facts) > 20
    assert all(fact.answer.lower() in fact.statement.lower() for fact in facts)
    assert not any(conflicts(f, facts[:i]) for i, f in enumerate(facts))


def test_held_out_templates_are_not_trained_on() -> None:
    known = {text for r in TRAINING for text in (*r.statements, *r.questions)}
    assert known.isdisjoint(text for r in HELD_OUT for text in (*r.statements, *r.questions))


def test_the_lean_forward_is_that_of_transformers() -> None:
    model = build(SHAPES["smoke"], 400, 0).eval()
    ids = torch.randint(0, 400, (2, 50))
    with torch.no_grad():
        lean = Trunk(model, torch.float32)(ids)
        usual = model.model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(lean, usual, atol=1e-4, rtol=1e-4)


def test_the_checkpoint_is_an_ordinary_one(checkpoint: Path, trained: Trainer) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert model.dtype == torch.bfloat16
    assert tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    ) == [0, 1, 2, 3]
    text = "It ends in 24 months."
    assert tokenizer.decode(tokenizer.encode(text)) == text
    weight = model.get_parameter("model.embed_tokens.weight")
    average = trained.average["model.embed_tokens.weight"]
    torch.testing.assert_close(weight.float(), average, atol=1e-2, rtol=1e-2)


def test_training_and_library_send_the_same_tokens(checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    prompts = Prompts(tokenizer)
    page = (1, "warranty.pdf", "3", "It ends in 24 months.\nAsk Anna.")
    library = [
        *prompts.encode_prefix(),
        *prompts.encode_passage(*page),
        *prompts.encode_suffix("When does it end?"),
    ]
    pieces = formats.prompt([formats.passage(*page)], "When does it end?")
    recipe = [i for p in pieces for i in tokenizer.encode(p, add_special_tokens=False)]
    assert recipe == library
    assert formats.INSTRUCTION == INSTRUCTION
    assert formats.passage(*page) == passage_text(*page)


def test_a_killed_training_goes_on_where_it_was(
    data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["--data", data, "--work", tmp_path / "work", "--out", tmp_path / "out"]
    arguments += ["--size", "smoke", "--steps", STEPS, "--save-seconds", 0]
    command = [sys.executable, "-m", "recipes.train_nano", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "work" / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resumed at step" in again.stdout
    killed = load_file(tmp_path / "out" / "model.safetensors")
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        assert torch.equal(weight, killed[name]), name


def test_a_checkpoint_is_scored(checkpoint: Path) -> None:
    passages = tasks.numbered([("A", "The deposit is 5 euros."), ("B", "It rained.")])
    known = tasks.Item(passages, "How much is the deposit?", ["5 euros"], frozenset({1}))
    unknown = tasks.Item(passages, "Who sings?", [], frozenset({1}))
    assert len(Reader(str(checkpoint)).answer([known, unknown])) == 2
    scores = score([known, unknown], ["5 euros [1]", "The documents do not say."])
    assert scores == type(scores)(2, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
    scores = score([known, unknown], ["about 5 euros or 6 [2]", "rain"])
    assert (scores.exact, scores.contains, scores.citation, scores.unknown) == (0, 1, 0, 0)
