"""The recipe of pace-small, on a tiny base and a few kilobytes made here."""

from __future__ import annotations

import json
import lzma
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints import byte_tokenizer
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pace_integrations.library.profile import ReadingProfile, Signals
from pace_integrations.model.prompts import Message, Prompts
from recipes.train_nano import formats, tasks
from recipes.train_nano.tasks import Item
from recipes.train_nano.values import Words
from recipes.train_small.__main__ import main
from recipes.train_small.accelerated import BatchReader, BatchTrainer
from recipes.train_small.adapter import Adapter
from recipes.train_small.asked import (
    Asked,
    Judged,
    ask_articles,
    ask_lookups,
    hash_answer,
    load_asked,
    save_asked,
)
from recipes.train_small.batches import BatchPlan, make_batch, stream_batches
from recipes.train_small.dense import Dense
from recipes.train_small.evaluate import judge, recall
from recipes.train_small.export import load_named, write_adapter
from recipes.train_small.hops import Hops
from recipes.train_small.index import contrast
from recipes.train_small.lookups import look_up
from recipes.train_small.material import Passage, find_kin, fold_spaces
from recipes.train_small.mixture import Mixture, Plan, Source
from recipes.train_small.model import Reader
from recipes.train_small.natural import Natural
from recipes.train_small.reading import Answerer, Reply, load_model
from recipes.train_small.records import Records
from recipes.train_small.rows import VERIFICATION, WRONG, Page, Row, Turn
from recipes.train_small.support import (
    CURVES,
    NAMES,
    answer_apart,
    choose_answer,
    choose_threshold,
    fit_curve,
    fit_profile,
    report_lines,
)
from recipes.train_small.train import Schedule, Trainer
from recipes.train_small.written import Written

ROOT = Path(__file__).parents[2]
LAYERS = (0, 1)
WORDS = Words(
    ["harbor", "lamp", "copper", "winter", "signal", "meadow", "engine", "paper", "stone"],
    ["Orvel", "Tarn", "Brisco", "Ulver", "Maren", "Quill", "Dovan", "Hesper", "Lorne", "Vance"],
)
STEPS = 4


def tiny_base(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(byte_tokenizer()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=3,
    )
    return LlamaForCausalLM(config).to(dtype).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_base().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two articles of three contexts, a context that does not say, and a little prose."""
    folder = tmp_path_factory.mktemp("raw")
    rows: list[dict[str, object]] = []
    for i, name in enumerate(("Orvel", "Tarn")):
        for j in range(3):
            text = (
                f"{name} part {j} has {12 + 7 * i + j} bridges over the river. The mayor of part "
                f"{j} is Anna Brisco{j}. The first market of {name} was opened in {1820 + 10 * j}."
            )
            row = {"dataset": "train/squad_v1", "title": name, "context": text}
            asked = {
                f"How many bridges has part {j}?": f"{12 + 7 * i + j}",
                f"Who is the mayor of part {j}?": f"Anna Brisco{j}",
                f"When was the first market of {name} opened?": f"{1820 + 10 * j}",
            }
            rows += [{**row, "question": q, "answers": [a]} for q, a in asked.items()]
    rows.append({**rows[0], "question": "Who built it?", "answers": []})
    with lzma.open(folder / "qa.xz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    prose = " ".join(f"the {a} {b} of {c}, was seen." for a, b, c in _triples())
    with lzma.open(folder / "p0.xz", "wt", encoding="utf-8") as out:
        out.write(json.dumps({"text": prose}) + "\n")
    return folder


def _triples() -> list[tuple[str, str, str]]:
    rng = random.Random(0)
    lower, upper = WORDS.lower, WORDS.upper
    return [(rng.choice(lower), rng.choice(lower), rng.choice(upper)) for _ in range(80)]


@pytest.fixture(scope="module")
def sources(data: Path) -> dict[str, Source]:
    natural = Natural(data / "qa.xz")
    return {
        "natural": lambda rng, count: natural.draw(rng, count, 0.6),
        "dense": Dense(WORDS).draw,
        "records": Records(WORDS).draw,
        "hops": Hops(WORDS).draw,
        "written": Written().draw,
    }


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return Tokenizer.from_file(str(base / "tokenizer.json"))


def _drawn(source: Source, count: int) -> list[Passage]:
    return [passage for i in range(count) for passage in source(random.Random(i), 4)]


@pytest.mark.parametrize("name", ["natural", "dense", "records", "hops", "written"])
def test_passages_hold_their_answers(sources: dict[str, Source], name: str) -> None:
    passages = _drawn(sources[name], 60)
    asked = [(p, a) for p in passages for a in p.asked]
    held = [a.free or a.answer in fold_spaces(p.text) for p, a in asked]
    assert not any(a.is_missing_in(p.text) for p, a in asked)
    assert len(asked) > 200
    assert sum(held) >= 0.97 * len(held)  # sentences begin with a capital, answers need not
    assert len({a.question for _, a in asked}) > (7 if name == "natural" else 150)
    assert any(p.unknown for p in passages) or name == "hops"


def test_nearest_wrong_answers_are_of_the_same_kind() -> None:
    rng = random.Random(0)
    text = "The rent is $450.00, the deposit $900.00. Anna Berg signed on May 3, 2019 with Jo Lind."
    assert find_kin(rng, "$450.00", text) in ("$900.00", "2019", "3")
    assert find_kin(rng, "Anna Berg", text) in ("Jo Lind", "The", "May")
    assert find_kin(rng, "5 cm", "", ["7 cm"]) in ("7 cm", None)
    assert find_kin(rng, "the rent", "") is None


def _mixture(tokenizer: Tokenizer, sources: dict[str, Source]) -> Mixture:
    plan = Plan({"each": 1, "pages": 1, "full": 1}, dict.fromkeys(sources, 1.0))
    return Mixture(tokenizer, sources, {}, plan, 0)


def test_rows_are_a_function_of_the_step(tokenizer: Tokenizer, sources: dict[str, Source]) -> None:
    kinds: list[str] = []
    for step in range(12):
        row, again = (_mixture(tokenizer, sources).row(step, 1, 2500) for _ in range(2))
        assert (row.ids, row.weights, row.positions) == (again.ids, again.weights, again.positions)
        ends = [piece.queries for piece in row.pieces]
        assert [e[0] for e in ends] == [0, *(e[1] for e in ends[:-1])]
        assert ends[-1][1] == len(row.ids) == len(row.weights) == len(row.positions)
        kinds += [kind for kind, _ in row.marks]
    refused = kinds.count("refusal") / (kinds.count("refusal") + kinds.count("answer"))
    assert 0.15 < refused < 0.4
    assert 0.2 < kinds.count("verdict") / len(kinds) < 0.6


def _unit(tokenizer: Tokenizer, turns: list[Turn], *, full: bool = False) -> Row:
    row = Row(tokenizer)
    row.add_head()
    pages = [Page(12, "a.pdf", "3", "Blue lamp."), Page(977, "b.pdf", None, "Red stone.")]
    row.add_unit(pages, turns, full=full)
    return row


TURNS = [
    Turn("What color is the lamp?", "Blue [12]", "answer", (0,)),
    Turn("Who sings?", formats.UNANSWERABLE, "refusal"),
    Turn("What color is the stone?", "Red [977]", "answer", (1,)),
]


def test_a_turn_is_the_prompt_of_the_library(tokenizer: Tokenizer) -> None:
    row = _unit(tokenizer, TURNS[:1])
    prompts = Prompts(byte_tokenizer())
    wanted = [
        *prompts.encode_prefix(),
        *prompts.encode_passage(12, "a.pdf", "3", "Blue lamp."),
        *prompts.encode_passage(977, "b.pdf", None, "Red stone."),
        *prompts.encode_suffix(TURNS[0].question),
    ]
    assert row.ids[: len(wanted)] == wanted
    reply = [i for i, w in zip(row.ids, row.weights, strict=True) if w > 0]
    assert tokenizer.decode(reply, skip_special_tokens=False) == "Blue [12]<|im_end|>"
    row = _unit(tokenizer, [Turn(TURNS[0].question, "Green [12]", "given", (), WRONG)])
    talk = [("user", TURNS[0].question), ("assistant", "Green [12]"), ("user", VERIFICATION)]
    suffix = prompts.encode_suffix([Message(role=r, content=c) for r, c in talk])
    verdict = len(row.ids) - row.ids[::-1].index(tokenizer.token_to_id("N")) - 1
    assert row.ids[verdict - len(suffix) : verdict] == suffix
    assert row.weights[verdict] > 1
    assert not any(row.weights[:verdict])
    row = _unit(tokenizer, TURNS[:1])
    heavy = [i for i, w in zip(row.ids, row.weights, strict=True) if w > 1]
    assert tokenizer.decode(heavy) == "B12"  # whether to answer, and the number


def _read(reader: Reader, row: Row) -> Tensor:
    ids, positions = torch.tensor([row.ids]), torch.tensor(row.positions)
    return reader.read(ids, positions, row.pieces).hidden[0]


@pytest.fixture
def reader() -> Reader:
    model = tiny_base()
    torch.manual_seed(0)
    adapter = Adapter(model, 4, 2.0)
    for up in adapter.up.values():
        torch.nn.init.normal_(up, std=0.1)
    return Reader(model, adapter, LAYERS)


def test_turns_and_pages_do_not_see_each_other(tokenizer: Tokenizer, reader: Reader) -> None:
    alone, all_ = _unit(tokenizer, TURNS[2:]), _unit(tokenizer, TURNS)
    own = len(alone.ids) - alone.pieces[-1].queries[0]
    torch.testing.assert_close(_read(reader, alone)[-own:], _read(reader, all_)[-own:])
    page = Row(tokenizer)
    ids = tokenizer.encode(formats.passage(977, "b.pdf", None, "Red stone.")).ids
    page.add_causal(ids, [0.0] * len(ids))
    begin, end = alone.pages[1]
    # Rotary positions are relative: a page by itself is the same wherever it stands.
    torch.testing.assert_close(
        _read(reader, page), _read(reader, alone)[begin:end], atol=1e-4, rtol=1e-4
    )
    full = _unit(tokenizer, TURNS[2:], full=True)
    assert not torch.allclose(_read(reader, full)[begin:end], _read(reader, alone)[begin:end])


def test_the_lean_forward_is_that_of_transformers(tokenizer: Tokenizer, reader: Reader) -> None:
    row = _unit(tokenizer, TURNS)
    length = len(row.ids)
    mask = torch.zeros(length, length, dtype=torch.bool)
    for piece in row.pieces:
        (a, b), columns = piece.queries, [c for x, y in piece.keys for c in range(x, y)]
        causal = torch.ones(b - a, len(columns), dtype=torch.bool).tril_(len(columns) - (b - a))
        mask[a:b, columns] = causal if piece.mask is None else piece.mask
    model, named = tiny_base(), reader.adapter.named()
    down = named["model.layers.1.mlp.up_proj.a"].detach().clone().requires_grad_()
    up = named["model.layers.1.mlp.up_proj.b"].detach().clone().requires_grad_()
    weights = {}
    for name in (n[:-2] for n in named if n.endswith(".a")):
        pair = (named[f"{name}.b"].detach(), named[f"{name}.a"].detach())
        pair = (up, down) if name.endswith("1.mlp.up_proj") else pair
        weights[f"{name}.weight"] = model.get_parameter(f"{name}.weight") + 2 * pair[0] @ pair[1]
    given = {
        "input_ids": torch.tensor([row.ids]),
        "attention_mask": mask[None, None],
        "position_ids": torch.tensor([row.positions]),
        "output_hidden_states": True,
    }
    usual = torch.func.functional_call(model, weights, (), given).hidden_states[-1]
    lean = _read(reader, row)
    torch.testing.assert_close(lean, usual[0], atol=1e-4, rtol=1e-4)
    usual[..., :7].sum().backward()
    lean[..., :7].sum().backward()
    for wanted, name in ((down, "a"), (up, "b")):
        found = named[f"model.layers.1.mlp.up_proj.{name}"].grad
        torch.testing.assert_close(found, wanted.grad, atol=1e-3, rtol=1e-3)


def test_the_index_learns_to_find_a_page(tokenizer: Tokenizer, reader: Reader) -> None:
    row = _unit(tokenizer, [TURNS[0], TURNS[2]])
    optimizer = torch.optim.Adam(reader.adapter.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        ids, positions = torch.tensor([row.ids]), torch.tensor(row.positions)
        keys = reader.read(ids, positions, row.pieces).keys[0]
        loss, _ = contrast(reader, tokenizer, keys, row.pages, row.questions)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        reader.refresh()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def _trainer(tokenizer: Tokenizer, sources: dict[str, Source]) -> Trainer:
    model = tiny_base(torch.bfloat16)
    torch.manual_seed(0)
    reader = Reader(model, Adapter(model, 4, 2.0), LAYERS)
    schedule = Schedule(0, STEPS, 2, 1e-2, tokens=1500, lengths=(1500, 800))
    return Trainer(reader, tokenizer, _mixture(tokenizer, sources).row, schedule)


def test_training_resumes_bit_by_bit(
    tokenizer: Tokenizer, sources: dict[str, Source], tmp_path: Path
) -> None:
    whole, first, second = (_trainer(tokenizer, sources) for _ in range(3))
    for _ in range(STEPS):
        whole.update()
    first.update()
    first.update()
    first.save(tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    second.run(tmp_path / "state.pt")
    untrained = _trainer(tokenizer, sources).reader.adapter.named()
    for name, weight in whole.reader.adapter.named().items():
        assert torch.equal(weight, second.reader.adapter.named()[name]), name
        assert name == "temp" or not torch.equal(weight, untrained[name]), name


def test_a_batch_gives_the_gradients_of_its_rows(
    tokenizer: Tokenizer, sources: dict[str, Source]
) -> None:
    """Rows of every way, read stretch by stretch or under one mask: loss and gradients agree."""
    model, schedule = tiny_base(), Schedule(0, STEPS, 2, 0.0, tokens=1500, lengths=(1500,))
    mixture, seen = _mixture(tokenizer, sources), set()
    for index in range(60):
        row = mixture.row(0, index, 1500)
        way = (len(row.pages) > 2, len(row.pieces) > 3)
        # More questions than a batch takes: each takes others of them.
        if way in seen or len(row.questions) > 3:
            continue
        seen.add(way)
        found = []
        for batched in (False, True):
            torch.manual_seed(0)
            adapter = Adapter(model, 4, 2.0)
            for up in adapter.up.values():
                torch.nn.init.normal_(up, std=0.1)
            if batched:
                batch = make_batch(tokenizer, [row], -(-len(row.ids) // 8) * 8, "0")
                BatchTrainer(BatchReader(model, adapter, LAYERS), schedule).backward(batch)
            else:
                reader = Reader(model, adapter, LAYERS)
                trainer = Trainer(reader, tokenizer, mixture.row, schedule)
                trainer._backward(row, sum(row.weights), 1, random.Random(0))
            named = adapter.named()
            found.append({n: p.grad for n, p in named.items() if p.grad is not None})
        assert found[0].keys() == found[1].keys()
        for name, gradient in found[0].items():
            torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)
    assert len(seen) > 2


def test_batches_are_the_same_from_any_number_of_processes(
    tokenizer: Tokenizer, sources: dict[str, Source]
) -> None:
    compose, plan = _mixture(tokenizer, sources).row, BatchPlan(1500, (752, 496))
    here, there = (
        list(stream_batches(compose, tokenizer, plan, range(3), processes)) for processes in (0, 2)
    )
    for one, other in zip(here, there, strict=True):
        assert all(
            (a == b).all() for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
        )
    assert [batch.ids.shape for batch in here] == [(1, 752), (3, 496), (1, 752)]


def test_a_training_over_batches_learns_and_resumes(
    tokenizer: Tokenizer, sources: dict[str, Source], tmp_path: Path
) -> None:
    plan, lines = BatchPlan(1504, (752,)), []

    def trainer(first: int) -> BatchTrainer:
        torch.manual_seed(0)
        model = tiny_base()
        made = BatchTrainer(
            BatchReader(model, Adapter(model, 4, 2.0), LAYERS), Schedule(0, STEPS, 2, 1e-2)
        )
        rows = _mixture(tokenizer, sources).row
        made.feed(stream_batches(rows, tokenizer, plan, range(first, STEPS), 0))
        return made

    whole, first, second = trainer(0), trainer(0), trainer(2)
    for _ in range(STEPS):
        whole.update()
    lines.append(whole.progress_line())
    first.update()
    first.update()
    first.save(tmp_path / "state.pt")
    second.resume(tmp_path / "state.pt")
    second.run(tmp_path / "state.pt")
    for name, weight in whole.reader.adapter.named().items():
        torch.testing.assert_close(weight, second.reader.adapter.named()[name])
    assert "answer" in lines[0]
    assert "found" in lines[0]


def test_a_killed_training_goes_on_and_is_exported(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = ["--data", data, "--base", base, "--work", work, "--out", out, "--tokens", 600]
    arguments += ["--steps", 2, "--conversations", 2, "--save-seconds", 0, "--layers", *LAYERS]
    command = [sys.executable, "-m", "recipes.train_small", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (work / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    main([str(argument) for argument in arguments])
    assert "resumed at step" in capsys.readouterr().out
    assert load_file(out / "adapter_model.safetensors")
    assert json.loads((out / "reading.json").read_text())["index_layers"] == list(LAYERS)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_plain_peft_opens_the_adapter(base: Path, reader: Reader, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    write_adapter(reader.adapter.named(), tmp_path)
    opened = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path)
    ids = torch.randint(4, 200, (1, 30))
    with torch.no_grad():
        theirs = opened.model.model(ids).last_hidden_state
        ours = reader.read(ids, torch.arange(30), []).hidden
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)
    again = load_named(tmp_path / "adapter_model.safetensors")
    for name, matrix in reader.adapter.named().items():
        assert name == "temp" or torch.equal(again[name], matrix.to(torch.bfloat16)), name
    assert (theirs - tiny_base().model(ids).last_hidden_state).abs().max() > 0.2


@pytest.fixture
def answerer(base: Path) -> Answerer:
    return Answerer(load_model(base, base), base, verify=True, layers=LAYERS)


def test_a_model_is_asked_and_judged(answerer: Answerer, tmp_path: Path) -> None:
    passages = tasks.numbered([("A", "The deposit is 5."), ("B", "Rain.")])
    reply = answerer.answer(passages, "How much?", by_page=True)
    assert answerer.answer(passages, "How much?", by_page=True) == reply
    assert all(0 <= p <= 1 for p in (reply.refusal, reply.likelihood, reply.support))
    known = Item(passages, "How much?", ["5 euros"], frozenset({1}))
    unknown = Item(passages, "Who sings?", [], frozenset({1}))
    right = Reply("5 euros [1]", 0.1, 0.9, "5 euros [1]", 0.9, -9.0)
    refused = Reply(formats.UNANSWERABLE, 0.8, 0.9, "Rain [2]", 0.2, -9.0)
    shares = judge([known, unknown], [right, refused])
    assert (shares["F1"], shares["citation"], shares["unanswerable refused"]) == (1, 1, 1)
    assert (shares["answerable refused"], shares["refusal AUC"], shares["support AUC"]) == (0, 1, 1)
    assert judge([known], [refused])["F1"] == 0
    found = recall(answerer, [known])
    assert found["by BM25"] in (0, 1)
    assert math.isfinite(found["recall by keys"])
    (tmp_path / "a.txt").write_text("The deposit is 5 euros.\n", encoding="utf-8")
    row = {"doc": "a.txt", "question": "How much?", "pattern": "5", "evidence": "deposit"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row), encoding="utf-8")
    for way in ("each", "together", "whole"):
        counts = look_up(answerer, tmp_path / "q.jsonl", tmp_path, way=way)
        assert counts["refused"] + counts["right"] + counts["wrong"] == counts["asked"] == 1
    assert look_up(answerer, tmp_path / "q.jsonl", tmp_path)["right page"] == 1
    (tmp_path / "a.txt").write_text("The deposit is 5 euros.\n" * 500, encoding="utf-8")
    assert look_up(answerer, tmp_path / "q.jsonl", tmp_path, way="whole") == {"too long": 1}


def test_answers_come_with_what_a_library_knows(answerer: Answerer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The deposit is 5 euros.\n" * 500, encoding="utf-8")
    row = {"doc": "a.txt", "question": "How much?", "pattern": "5", "evidence": "deposit"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row), encoding="utf-8")
    dev = [
        {
            "title": "a",
            "context": "A bell rings at noon.",
            "question": "When?",
            "answers": ["noon"],
        },
        {"title": "a", "context": "The door is red.", "question": "Which color?", "answers": []},
    ]
    dev.append({**dev[0], "question": "What rings?"})
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, dev)), encoding="utf-8")
    asked = ask_articles(answerer, tmp_path / "dev.jsonl", 3)
    asked += ask_lookups(answerer, tmp_path / "q.jsonl", tmp_path)
    # Without the passage that answers there are too few left to ask.
    kinds = ["known", "known", "altered", "look-up"]
    assert [one.kind for one in asked[::2]] == [one.kind for one in asked[1::2]] == kinds
    assert [one.together for one in asked] == [False, True] * 4
    for one in asked[1::2]:
        (judged,) = one.candidates
        assert judged.signals.together
        assert judged.signals.refusals == ()
    for one in asked[::2]:
        first, *others = (judged.signals for judged in one.candidates)
        assert 0 <= first.verdict <= 1
        assert 0 <= first.coverage <= 1
        assert first.refusal in first.refusals
        assert len(first.refusals) > 1 or first.question_gain == 0.0
        score = (1 - first.refusal) * first.likelihood
        assert all(score >= (1 - other.refusal) * other.likelihood for other in others)
        # A curve that weighs the verdict alone takes the answer that the model confirms.
        chosen, support = choose_answer(one, ReadingProfile(support={"verdict_log_odds": 1.0}))
        assert chosen.signals.verdict == max(c.signals.verdict for c in one.candidates)
        assert support == pytest.approx(chosen.signals.verdict, abs=1e-5)
    save_asked(tmp_path / "kept.json", asked)
    assert load_asked(tmp_path / "kept.json") == asked


def test_answers_are_asked_for_where_no_passage_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"Bell {i} rings at {i} o'clock." for i in range(8)]
    row = {"title": "a", "question": "When does bell 3 ring?", "answers": ["3 o'clock"]}
    rows = [{**row, "context": text} for text in texts]
    rows.append({**row, "answers": [], "question": "When does bell 3 fall?", "context": texts[0]})
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "a.txt").write_text("\f".join(texts), encoding="utf-8")
    look = {"doc": "a.txt", "question": "When, bell 3?", "pattern": "3 o", "evidence": "Bell 3"}
    (tmp_path / "q.jsonl").write_text(json.dumps(look), encoding="utf-8")
    seen: list[tuple[str, list[str]]] = []

    def see(
        answerer: object,
        kind: str,
        passages: list[tuple[str, str]],
        question: str,
        is_right: Callable[[str], bool],
    ) -> list[Asked]:
        seen.append((question, [text for _, text in passages]))
        return [Asked(kind, question, [Judged(Signals(0.5, 0.5), is_right("3 o'clock"))])]

    monkeypatch.setattr("recipes.train_small.asked.ask", see)
    asked = ask_articles(None, tmp_path / "dev.jsonl", 3)
    asked += ask_lookups(None, tmp_path / "q.jsonl", tmp_path)
    found = {(one.kind, one.candidates[0].right) for one in asked}
    assert found == {
        ("known", True),
        ("absent", False),
        ("altered", False),
        ("look-up", True),
        ("absent look-up", False),
    }
    for one, (question, given) in zip(asked, seen, strict=True):
        assert one.question == question
        assert any("Bell 3" in text for text in given) is not one.kind.startswith("absent")
        assert len(given) == (7 if one.kind.startswith("absent") else 8)


def test_an_answer_judged_by_hand_counts_as_it_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"title": "a", "context": "A bell.", "question": "When?", "answers": ["noon"]}
    rows = [row, {**row, "question": "Who?"}, {**row, "question": "Why?", "answers": []}]
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    by_hand = {hash_answer("When?", "noon"): False, hash_answer("Why?", "noon"): True}
    (tmp_path / "judged.json").write_text(json.dumps(by_hand), encoding="utf-8")
    monkeypatch.setattr("recipes.train_small.asked.BY_HAND", tmp_path / "judged.json")
    monkeypatch.setattr(
        "recipes.train_small.asked.ask",
        lambda answerer, kind, passages, question, is_right: [
            Asked(kind, question, [Judged(Signals(0.5, 0.5), is_right("noon"))])
        ],
    )
    asked = ask_articles(None, tmp_path / "dev.jsonl", 3)
    assert {one.question: one.candidates[0].right for one in asked} == {
        "When?": False,
        "Who?": True,
        "Why?": True,
    }


def test_support_is_fitted_to_what_is_right() -> None:
    rng = random.Random(1)
    judged = []
    for _ in range(400):
        coverage = rng.random()
        signals = Signals(
            rng.random(), rng.random(), rng.random(), None, coverage, (rng.random(),), False, 0.0
        )
        judged.append(Judged(signals, rng.random() < coverage**2))
    weights = fit_curve(judged)
    assert (
        weights["coverage"]
        > 2 * max(abs(weights[n]) for n in NAMES if n not in ("bias", "coverage"))
        > 0
    )
    profile = ReadingProfile(support=weights)
    right = [one for one in judged if profile.estimate_support(one.signals) > 0.5]
    assert sum(one.right for one in right) > 0.6 * len(right)
    assert choose_threshold([(0.2, False), (0.4, True), (0.6, True), (0.8, True)]) == 0.4
    assert choose_threshold([(0.2, True), (0.8, False)]) == 0.5


def test_every_question_is_judged_by_a_curve_of_the_others() -> None:
    rest = {"refusals": (0.1,), "question_gain": 0.0}
    # The second answers are right where the model confirms them, which a curve has to find out.
    asked = [
        Asked(
            "known",
            f"question {i}",
            [
                Judged(Signals(0.9, 0.1, 0.5 + 0.4 * (i % 2), **rest), bool(i % 2)),
                Judged(Signals(0.8, 0.1, 0.9, **rest), True),
            ],
        )
        for i in range(40)
    ]
    apart = answer_apart(asked, NAMES)
    assert [judged.right for judged, _ in apart] == [True] * 40
    # What one question taught does not reach its own answer.
    judged = Judged(Signals(0.9, 0.1, 0.99, **rest), False)
    supports = {
        answer_apart([*asked[:39], Asked("known", "question 39", [one])], NAMES)[39][1]
        for one in (judged, replace(judged, right=True))
    }
    assert len(supports) == 1


def test_both_ways_of_asking_have_a_curve_and_one_threshold() -> None:
    rng = random.Random(2)
    asked = []
    for i in range(200):
        likely, verdict = rng.random(), rng.random()
        for together in (False, True):
            signals = Signals(
                likely,
                0.1,
                verdict,
                refusals=() if together else (0.1,),
                question_gain=None if together else 1.0,
                together=together,
            )
            # Together half of what is likely is wrong all the same.
            right = verdict > (0.8 if together else 0.4)
            asked.append(Asked("known", f"question {i}", [Judged(signals, right)], together))
    fitted = fit_profile(asked)
    assert set(fitted) == {"threshold", *CURVES}
    profile = ReadingProfile.from_dict(fitted)
    for together in (False, True):
        own = [one.candidates[0] for one in asked if one.together is together]
        shown = [one for one in own if profile.is_supported(profile.estimate_support(one.signals))]
        assert shown
        assert sum(one.right for one in shown) >= 0.85 * len(shown)
    lines = list(report_lines(asked, profile))
    assert sum("200 asked" in line for line in lines) == 6
