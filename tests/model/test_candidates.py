"""One question asked of several contexts at once: the answers of each alone, and their odds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from checkpoints import byte_tokenizer
from tiny import tiny_model

from pace_integrations.config import GenerationConfig
from pace_integrations.model._transformers import PreTrainedTokenizerBase, cache_argument
from pace_integrations.model.candidates import Asking, Candidate, write_candidates
from pace_integrations.model.decode import AnswerWriter, TextDelta, decode_answer
from pace_integrations.model.forward import predict_next
from pace_integrations.model.pages import BlockState, PageAttention
from pace_integrations.model.prompts import Prompts
from pace_integrations.model.questions import locate_question
from pace_integrations.model.verification import Verification

TOKENIZER = byte_tokenizer()
MODEL = tiny_model("llama", vocab_size=len(TOKENIZER))
PAGES = PageAttention(MODEL)
TEXTS = ["[1] a\nred apples", "[2] b, page 2\nblue", "[3] c\ngreen leaves on a tree", "[4] d\nsky"]
TAIL = TOKENIZER.encode("Which?")
REFUSAL = [*TOKENIZER.encode("No."), TOKENIZER.eos_token_id]
CONFIG = GenerationConfig(max_new_tokens=9)


def read(*texts: str) -> list[BlockState]:
    states = dict(PAGES.read_blocks([TOKENIZER.encode(text) for text in texts]))
    return [states[i] for i in range(len(texts))]


HEAD, *BLOCKS = read("Answer:", *TEXTS)


def ask(
    *blocks: BlockState,
    insist: bool = True,
    refusal: list[int] = REFUSAL,
    verification: Verification | None = None,
    heard: range = range(0),
    wanted: int = 1,
) -> list[Candidate]:
    rows = PAGES.stitch_rows(HEAD, [[block] for block in blocks])
    asking = Asking(TAIL, refusal, insist, wanted, heard, verification)
    steps = write_candidates(MODEL, TOKENIZER, rows, asking, CONFIG, around=nullcontext)
    found: list[list[Candidate]] = []

    def keep() -> Iterator[list[tuple[int, TextDelta]]]:
        found.append((yield from steps))

    streamed: dict[int, str] = {}
    for row, delta in (pair for step in keep() for pair in step):
        streamed[row] = streamed.get(row, "") + delta.text
    assert [c.text for c in found[0]] == [streamed[i].lstrip() for i in sorted(streamed)]
    return found[0]


def test_each_row_answers_what_it_answers_alone() -> None:
    together = ask(*BLOCKS)
    for block, candidate in zip(BLOCKS, together, strict=True):
        alone = ask(block)[0]
        assert (alone.text, alone.tokens, alone.finish) == (
            candidate.text,
            candidate.tokens,
            candidate.finish,
        )
        assert alone.likelihood == pytest.approx(candidate.likelihood, rel=1e-3)
        assert alone.refusal == pytest.approx(candidate.refusal, rel=1e-3)


def test_a_verdict_is_what_the_model_says_behind_the_answer_of_its_row() -> None:
    """Rows of several lengths, their answers cut off at once: each is asked about its own."""
    yes, no = TOKENIZER.encode("YN")
    told = Verification([TOKENIZER.eos_token_id, *TOKENIZER.encode("Sure?")], yes, no)
    plain, verified = ask(*BLOCKS, insist=False), ask(*BLOCKS, insist=False, verification=told)
    assert [replace(candidate, verdict=None) for candidate in verified] == plain
    assert len({round(candidate.verdict or 0.0, 6) for candidate in verified}) == len(BLOCKS)
    for block, candidate in zip(BLOCKS, verified, strict=True):
        alone = ask(block, insist=False, verification=told)[0]
        assert candidate.verdict == pytest.approx(alone.verdict, rel=1e-3)
    # The first answer is of whole letters: its tokens can be told from its text.
    head, page, written = map(TOKENIZER.encode, ("Answer:", TEXTS[0], verified[0].text))
    assert len(written) == verified[0].tokens
    ids = [*head, *page, *TAIL, *written, *told.ids]
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril_()
    mask[len(head) : len(head) + len(page), : len(head)] = False  # a page sees itself alone
    with torch.inference_mode():
        logits = MODEL(torch.tensor([ids]), attention_mask=mask[None, None]).logits[0, -1]
    expected = float(logits[[yes, no]].softmax(-1)[0])
    assert verified[0].verdict == pytest.approx(expected, rel=1e-3)


def set_rows(
    monkeypatch: pytest.MonkeyPatch, lengths: Sequence[int], refusals: Sequence[float]
) -> None:
    """Let the rows asked next end after so many tokens, and refuse with such probabilities."""
    ends = iter(lengths)
    monkeypatch.setattr(
        "pace_integrations.model.candidates.AnswerWriter",
        lambda model, tokenizer, config: AnswerWriter(
            model, tokenizer, replace(config, max_new_tokens=next(ends))
        ),
    )
    monkeypatch.setattr(
        "pace_integrations.model.candidates.score_refusal",
        lambda logits, refusal: (list(refusals), torch.zeros(len(refusals), dtype=torch.bool)),
    )


def test_a_row_that_can_no_longer_win_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(*BLOCKS)
    set_rows(monkeypatch, [3, 9, 9, 9], [0.0, 1.0, 0.0, 0.0])  # the first row ends first
    first, hopeless, *others = ask(*BLOCKS)
    assert first.complete
    assert first.tokens == 3
    # It was written as long as nothing better was known, and no longer.
    assert not hopeless.complete
    assert (hopeless.score, hopeless.tokens) == (0.0, 3)
    assert [candidate.text for candidate in others] == [c.text for c in whole[2:]]


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_the_best_rows_are_written_and_verified(
    wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Verification([TOKENIZER.eos_token_id, *TOKENIZER.encode("Sure?")], 70, 71)
    alone = ask(*BLOCKS, insist=False, verification=told)
    set_rows(monkeypatch, [3, 5, 9, 9], [0.0, 0.0, 1.0, 0.0])
    found = ask(*BLOCKS, verification=told, wanted=wanted)
    # The third can win nothing, and is written until as many as are wanted have ended.
    assert found[2].tokens == {1: 3, 2: 5, 3: 9}[wanted]
    best = sorted(found, key=lambda one: -one.score)[:wanted]
    assert [one.verdict is not None for one in found] == [one in best for one in found]
    if found[3] in best:  # which was cut off where it is alone
        place = found.index(found[3])
        assert found[3].verdict == pytest.approx(alone[place].verdict, rel=1e-3)


def test_greedy_tokens_are_those_of_the_token_loop() -> None:
    for block, candidate in zip(BLOCKS, ask(*BLOCKS), strict=True):
        cache = PAGES.stitch([HEAD, block])
        deltas = [
            *decode_answer(MODEL, TOKENIZER, TAIL, cache, CONFIG, chunk=64, around=nullcontext)
        ]
        assert "".join(delta.text for delta in deltas).lstrip() == candidate.text
        assert deltas[-1].tokens == candidate.tokens


@pytest.mark.parametrize("insist", [True, False], ids=["competing", "alone"])
@pytest.mark.parametrize("verification", [None, Verification([*TAIL, 5], 7, 8)])
def test_odds_are_those_of_one_forward(insist: bool, verification: Verification | None) -> None:
    candidate = ask(BLOCKS[0], insist=insist, verification=verification)[0]
    cache = PAGES.stitch([HEAD, BLOCKS[0]])
    start = cache.get_seq_length()
    ids = torch.tensor([[*TAIL, *REFUSAL]])
    with torch.inference_mode():
        logs = MODEL(ids, **cache_argument(MODEL, cache), use_cache=True).logits[0].log_softmax(-1)
    chance = sum(logs[len(TAIL) - 1 + i, token] for i, token in enumerate(REFUSAL)).exp()
    assert candidate.refusal == pytest.approx(float(chance), rel=1e-2)
    assert candidate.score == pytest.approx((1 - candidate.refusal) * candidate.likelihood)
    assert start == HEAD.tokens + BLOCKS[0].tokens


@pytest.mark.parametrize("heard", [range(1, len(TAIL)), range(2, len(TAIL) - 1), range(1, 2)])
def test_rows_say_how_likely_they_make_the_question(heard: range) -> None:
    plain = ask(*BLOCKS)
    scored = ask(*BLOCKS, heard=heard)
    assert [one.text for one in scored] == [one.text for one in plain]
    assert [one.refusal for one in scored] == pytest.approx([one.refusal for one in plain])
    assert all(one.question is None for one in plain)
    for block, candidate in zip(BLOCKS, scored, strict=True):
        cache = PAGES.stitch([HEAD, block])
        with torch.inference_mode():
            logits = MODEL(
                torch.tensor([TAIL]), **cache_argument(MODEL, cache), use_cache=True
            ).logits[0]
        logs = logits.log_softmax(-1)
        expected = sum(float(logs[i - 1, TAIL[i]]) for i in heard)
        assert candidate.question == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("tokenizer", [TOKENIZER, byte_tokenizer(None)], ids=["chat", "plain"])
def test_a_question_is_found_in_its_tail(tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = Prompts(tokenizer)
    history = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "Which?"}]
    for question in (
        "Which?",
        "Which one is it, and why? " * 9,
        [*history, {"role": "user", "content": "Which?"}],
        [{"role": "system", "content": "Which?"}, {"role": "user", "content": "Is it red?"}],
        [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "It is"}],
    ):
        told = question
        if not isinstance(question, str):
            told = [m["content"] for m in question if m["role"] == "user"][-1]
        ids = prompts.encode_suffix(question)
        found = locate_question(prompts, question, ids)
        own = prompts.encode_text(told)
        assert [ids[i] for i in found] == own[-64:]
        rest = ids[found.stop :]
        assert own != rest[: len(own)]


@pytest.mark.parametrize("insist", [True, False], ids=["competing", "alone"])
def test_a_refusal_of_one_token_is_scored_too(insist: bool) -> None:
    candidate = ask(BLOCKS[0], insist=insist, refusal=REFUSAL[:1])[0]
    cache = PAGES.stitch([HEAD, BLOCKS[0]])
    logits = predict_next(MODEL, torch.tensor([TAIL]), cache, around=nullcontext)
    chance = float(logits[0].softmax(-1)[REFUSAL[0]])
    assert candidate.refusal == pytest.approx(chance, rel=1e-3)


def test_a_row_that_would_refuse_gives_its_next_best_answer_if_asked_to() -> None:
    # What the model would say anyway is declared to be its refusal.
    plain = [ask(block, insist=False)[0] for block in BLOCKS]
    refusal = [*TOKENIZER.encode(plain[0].text)[:1], TOKENIZER.eos_token_id]
    assert ask(BLOCKS[0], refusal=refusal, insist=False)[0].text == plain[0].text
    insisting = ask(*BLOCKS, refusal=refusal)
    assert insisting[0].text[:1] != plain[0].text[:1]
    assert insisting[0].likelihood < 1.0
