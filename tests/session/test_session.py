"""Reading once and asking many: nothing leaks, nothing depends on how it was cut."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from ticking import ticking
from transformers import AutoModelForCausalLM

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.errors import ContextOverflowError, DocumentError, PaceError, QuestionError

QUESTIONS = ["Where is the oak?", "When does the gate open?", "Who bakes?", "Which oven?"]
SHORT = GenerationConfig(max_new_tokens=16)


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus, config=ReadConfig(chunk=64))


def ask(session: Session, question: str) -> str:
    return session.ask(question, generation=SHORT).text


def test_questions_in_any_order_get_the_same_answers(session: Session) -> None:
    forwards = {q: ask(session, q) for q in QUESTIONS}
    backwards = {q: ask(session, q) for q in reversed(QUESTIONS)}
    assert forwards == backwards
    assert len(set(forwards.values())) > 1


def test_concurrent_questions_get_the_same_answers(session: Session) -> None:
    alone = [ask(session, q) for q in QUESTIONS]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda i: ask(session, QUESTIONS[i % 4]), range(32)))
    assert together == alone * 8


def test_two_sessions_of_one_model_never_mix(pace: Pace, session: Session) -> None:
    other = pace.read(Corpus.from_texts({"Cellar": "Wine lies on the left. " * 12}))
    alone = [ask(session, QUESTIONS[0]), ask(other, QUESTIONS[0])]
    streams = [s.stream(QUESTIONS[0], generation=SHORT) for s in (session, other)]
    mixed = ["", ""]
    for pieces in zip(*streams, strict=False):
        mixed = [text + piece for text, piece in zip(mixed, pieces, strict=True)]
    assert [stream.answer.text for stream in streams] == alone
    assert all(whole.startswith(part) for whole, part in zip(alone, mixed, strict=True))


def test_the_stream_joined_is_the_answer(session: Session) -> None:
    stream = session.stream(QUESTIONS[0], generation=SHORT)
    text = "".join(stream)
    assert text == stream.answer.text == ask(session, QUESTIONS[0])


async def test_async_forms_agree_and_the_loop_goes_on(session: Session) -> None:
    async with ticking() as ticks:
        answers = await asyncio.gather(*(session.aask(q, generation=SHORT) for q in QUESTIONS))
        stream = session.astream(QUESTIONS[1], generation=SHORT)
        text = "".join([piece async for piece in stream])
    assert [answer.text for answer in answers] == [ask(session, q) for q in QUESTIONS]
    assert text == stream.answer.text == answers[1].text
    assert ticks.count > 20


@pytest.mark.parametrize("memory", [None, MemoryConfig(step=48, slots=8, layers=(1,))])
def test_the_chunk_size_changes_nothing(
    tiny_path: Path, corpus: Corpus, memory: MemoryConfig | None
) -> None:
    with Pace.load(tiny_path, memory=memory) as pace:
        answers = {
            tuple(ask(pace.read(corpus, config=ReadConfig(chunk=chunk)), q) for q in QUESTIONS)
            for chunk in (13, 64, 4096)
        }
    assert len(answers) == 1


def test_with_blend_zero_the_answers_are_those_without_memory(
    tiny_path: Path, corpus: Corpus
) -> None:
    texts = []
    for memory in (None, MemoryConfig(blend=0.0, layers=(0, 2), step=32)):
        with Pace.load(tiny_path, memory=memory) as pace:
            read = pace.read(corpus)
            texts.append([ask(read, q) for q in QUESTIONS])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("family", "settings"), [("qwen3", {}), ("llama", {}), ("mistral", {"sliding_window": 64})]
)
def test_a_read_session_answers_as_one_long_prompt(
    tmp_path: Path, corpus: Corpus, family: str, settings: dict[str, object]
) -> None:
    """The session's greedy answer is Transformers' answer to the whole prompt at once."""
    save_tiny(tmp_path, family, **settings)
    with Pace.load(tmp_path, memory=None) as pace:
        session = pace.read(corpus, config=ReadConfig(chunk=100))
        prompts = session._engine.prompts
        ids = prompts.encode_prefix()
        for p in session.passages:
            ids += prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text)
        ids += prompts.encode_suffix(QUESTIONS[0])
        texts = [ask(session, QUESTIONS[0]) for _ in range(2)]
        tokenizer = session._engine.loaded.tokenizer
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=16)
    expected = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    assert texts == [expected.lstrip().rstrip("\ufffd")] * 2  # but for a character that is cut


def test_usage_counts_what_was_read_once(session: Session) -> None:
    usage = session.ask(QUESTIONS[0], generation=SHORT).usage
    assert usage.cached_tokens == session.tokens > 400
    assert usage.input_tokens > usage.cached_tokens
    assert 1 <= usage.output_tokens <= 16
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_memory_lookups_are_counted_per_answer(session: Session) -> None:
    answers = [session.ask(q, generation=SHORT) for q in (QUESTIONS[0], QUESTIONS[0])]
    assert answers[0].memory == answers[1].memory
    memory, usage = answers[0].memory, answers[0].usage
    assert memory is not None
    # Two layers look up every token fed: the question's, and the answer's but for the last.
    fed = usage.input_tokens - usage.cached_tokens + usage.output_tokens - 1
    assert memory.high + memory.medium + memory.low == 2 * fed


def test_timings_are_ordered(session: Session) -> None:
    timings = session.ask(QUESTIONS[0], generation=SHORT).timings
    assert 0 < timings.first_token <= timings.total


def test_writing_while_decoding_stays_in_its_question(tiny_path: Path, corpus: Corpus) -> None:
    memory = MemoryConfig(step=4, slots=16, layers=(0, 2), write_while_decoding=True)
    with Pace.load(tiny_path, memory=memory) as pace:
        session = pace.read(corpus)
        assert ask(session, QUESTIONS[0]) == ask(session, QUESTIONS[0])


def test_progress_is_reported_to_the_end(pace: Pace, corpus: Corpus) -> None:
    seen: list[tuple[int, int]] = []
    session = pace.read(
        corpus, progress=lambda *now: seen.append(now), config=ReadConfig(chunk=100)
    )
    assert seen[-1] == (session.tokens, session.tokens)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    steps = [0, *(done for done, _ in seen)]
    assert all(after - before <= 100 for before, after in pairwise(steps))


def test_an_interrupted_reading_stops_and_the_model_goes_on(
    pace: Pace, corpus: Corpus, session: Session
) -> None:
    before = ask(session, QUESTIONS[0])

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pace.read(corpus, progress=interrupt, config=ReadConfig(chunk=16))
    assert ask(session, QUESTIONS[0]) == before


def test_closing_a_stream_stops_it(session: Session) -> None:
    with session.stream(QUESTIONS[0], generation=GenerationConfig(max_new_tokens=4000)) as stream:
        next(stream)
    with pytest.raises(PaceError, match="closed"):
        _ = stream.answer
    assert ask(session, QUESTIONS[0])


def test_an_error_while_generating_reaches_the_stream(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = session._engine.loaded.model

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(model, "forward", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            ask(session, QUESTIONS[0])
    assert ask(session, QUESTIONS[0])


def test_a_blank_session_is_plain_conversation(pace: Pace) -> None:
    blank = pace.blank()
    answer = blank.ask(
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        generation=SHORT,
    )
    assert answer.citations == ()
    assert answer.usage.cached_tokens == 0
    assert (
        answer.text
        == blank.ask(
            [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
            generation=SHORT,
        ).text
    )


def test_a_corpus_beyond_the_context_is_refused_with_the_counts(pace: Pace) -> None:
    with pytest.raises(ContextOverflowError, match="holds 8192") as caught:
        pace.read(Corpus.from_texts({"Long": "word " * 3000}))
    assert caught.value.limit == 8192 < caught.value.needed


def test_an_answer_beyond_the_context_is_refused(session: Session) -> None:
    with pytest.raises(ContextOverflowError, match="max_new_tokens 8000"):
        session.ask(QUESTIONS[0], generation=GenerationConfig(max_new_tokens=8000))


@pytest.mark.parametrize("question", ["", "   "])
def test_an_empty_question_is_refused(session: Session, question: str) -> None:
    with pytest.raises(QuestionError, match="empty"):
        session.stream(question)


def test_an_empty_corpus_is_refused(pace: Pace) -> None:
    with pytest.raises(DocumentError, match="empty"):
        pace.read(Corpus(documents=(), report=Corpus.from_texts({"a": "b"}).report))


def test_a_closed_model_says_so_and_its_thread_ends(tiny_path: Path, corpus: Corpus) -> None:
    before = set(threading.enumerate())
    with Pace.load(tiny_path) as pace:
        session = pace.read(corpus)
        ask(session, QUESTIONS[0])
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before
    with pytest.raises(PaceError, match="closed"):
        session.ask(QUESTIONS[0])


def test_the_fingerprint_tells_configurations_apart(pace: Pace, tiny_path: Path) -> None:
    with Pace.load(tiny_path, memory=None) as other:
        assert other.fingerprint != pace.fingerprint
        assert other.fingerprint["revision"] == pace.fingerprint["revision"]
        assert str(other.fingerprint["revision"]).startswith("sha256:")
