"""Sessions that grow and shrink hold what they would hold had they read it so at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import pytest

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.documents import Document, Page
from pace_integrations.errors import ContextOverflowError, DocumentError

SHORT = GenerationConfig(max_new_tokens=12)
QUESTIONS = ("Where is the key?", "When is bread baked?")
CONFIG = ReadConfig(chunk=64, checkpoints=3)


def document(name: str, words: int, edition: str = "") -> Document:
    # No phrase comes twice: equal similarities in a bank would be parted by rounding alone.
    rng = random.Random(name + edition)
    letters = ["".join(rng.choices(ascii_lowercase, k=rng.randint(2, 9))) for _ in range(2 * words)]
    text = f"{name}{edition}: {' '.join(letters)}"
    return Document.from_pages(name, (Page(1, None, text),), source=f"/papers/{name}")


WORDS = {"A": 9, "B": 3, "C": 14, "D": 6, "E": 1, "F": 8}
HOUSE = tuple(document(name, words) for name, words in WORDS.items())


@pytest.fixture(scope="module", params=["released", None])
def reader(request: pytest.FixtureRequest, tiny_path: Path) -> Iterator[Pace]:
    memory = (
        MemoryConfig(step=32, slots=64, layers=(1, 2), rule="slotwise") if request.param else None
    )
    with Pace.load(tiny_path, memory=memory) as pace:
        yield pace


def read(pace: Pace, documents: tuple[Document, ...]) -> Session:
    return pace.read(Corpus(documents), config=CONFIG)


def same(session: Session, fresh: Session) -> None:
    assert session.tokens == fresh.tokens
    assert session.passages == fresh.passages
    for question in QUESTIONS:
        one, other = (s.ask(question, generation=SHORT) for s in (session, fresh))
        assert (one.text, one.citations, one.usage) == (other.text, other.citations, other.usage)


def test_added_one_by_one_is_read_together(reader: Pace) -> None:
    session = read(reader, HOUSE[:1])
    for more in HOUSE[1:]:
        held = session.tokens
        change = session.add(Corpus((more,)))
        assert (change.kept, change.kept + change.read) == (held, session.tokens)
    same(session, read(reader, HOUSE))


def test_what_is_held_is_not_read_again(reader: Pace) -> None:
    session = read(reader, HOUSE)
    assert session.add(Corpus(HOUSE[1:4])).read == 0
    same(session, read(reader, HOUSE))


def test_the_last_document_goes_at_the_cost_of_a_chunk(reader: Pace) -> None:
    session = read(reader, HOUSE)
    foreseen = session.cost_of_removing("F")
    assert session.remove("F") == foreseen
    assert foreseen.read <= CONFIG.chunk
    same(session, read(reader, HOUSE[:-1]))


def test_an_early_document_costs_what_follows_it(reader: Pace) -> None:
    session = read(reader, HOUSE)
    left = HOUSE[:1] + HOUSE[2:]
    change = session.remove("/papers/B")
    assert change.kept + change.read == session.tokens
    assert change.kept >= read(reader, HOUSE[:1]).tokens
    same(session, read(reader, left))


def test_a_new_version_takes_the_place_of_the_old(reader: Pace) -> None:
    session = read(reader, HOUSE)
    new = document("D", 7, edition=" second edition")
    change = session.replace(Corpus((new, document("G", 2))))
    assert change.kept > 0
    same(session, read(reader, (*HOUSE[:3], new, *HOUSE[4:], document("G", 2))))


def test_any_changes_in_any_order(reader: Pace) -> None:
    rng = random.Random(1)
    session, held = read(reader, HOUSE[:2]), list(HOUSE[:2])
    for step in range(12):
        if len(held) > 1 and rng.random() < 0.5:
            gone = held.pop(rng.randrange(len(held)))
            session.remove(gone.id)
        else:
            held.append(document(f"N{step}", rng.randrange(1, 9)))
            session.add(Corpus((held[-1],)))
    same(session, read(reader, tuple(held)))


def test_without_checkpoints_everything_is_read_again(reader: Pace) -> None:
    session = reader.read(Corpus(HOUSE), config=ReadConfig(chunk=64, checkpoints=0))
    assert session.remove("F").kept == 0
    same(session, read(reader, HOUSE[:-1]))


def test_an_interrupted_change_changes_nothing(reader: Pace) -> None:
    session, fresh = read(reader, HOUSE), read(reader, HOUSE)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for change in (
        lambda: session.add(Corpus((document("G", 30),)), progress=interrupt),
        lambda: session.remove("A", progress=interrupt),
    ):
        with pytest.raises(KeyboardInterrupt):
            change()
        same(session, fresh)


def test_a_stream_goes_on_with_what_it_started_from(reader: Pace) -> None:
    session = read(reader, HOUSE)
    before = session.ask(QUESTIONS[0], generation=SHORT)
    stream = session.stream(QUESTIONS[0], generation=SHORT)
    session.remove("A")
    session.add(Corpus((document("G", 3),)))
    answer = stream.answer
    assert (answer.text, answer.citations, answer.usage) == (
        before.text,
        before.citations,
        before.usage,
    )


def test_a_blank_session_can_be_filled(reader: Pace) -> None:
    session = reader.blank()
    session.add(Corpus(HOUSE))
    same(session, read(reader, HOUSE))


def test_refusals_leave_the_session_whole(reader: Pace) -> None:
    session, fresh = read(reader, HOUSE), read(reader, HOUSE)
    with pytest.raises(DocumentError, match="no document 'Z'"):
        session.remove("A", "Z")
    with pytest.raises(DocumentError, match="nothing would be left"):
        session.remove(*"ABCDEF")
    with pytest.raises(ContextOverflowError):
        session.add(Corpus((document("G", 5000),)))
    same(session, fresh)


def test_a_text_that_is_far_too_long_is_refused_before_it_is_tokenized(
    reader: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, lengths = read(reader, HOUSE), list[int]()
    encode = type(reader._engine.prompts).encode_text

    def count(prompts: object, text: str) -> list[int]:
        lengths.append(len(text))
        return encode(prompts, text)

    monkeypatch.setattr(type(reader._engine.prompts), "encode_text", count)
    with pytest.raises(ContextOverflowError, match="about") as refused:
        session.add(Corpus.from_texts({"log": "The gate opens at seven. " * 200_000}))
    assert refused.value.needed > 1_000_000
    assert sum(lengths) < 200_000


def test_the_report_counts_the_tokens_of_what_was_read(reader: Pace) -> None:
    def tokens(session: Session) -> list[int]:
        assert session.corpus is not None
        return [file.tokens or 0 for file in session.corpus.report.files]

    texts = {"a": "The key hangs in the barn.", "b": "Bread is baked on Mondays and Fridays."}
    whole = reader.read(Corpus.from_texts(texts), config=CONFIG)
    grown = reader.read(Corpus.from_texts({"a": texts["a"]}), config=CONFIG)
    first = grown.tokens
    grown.add(Corpus.from_texts({"b": texts["b"]}))
    assert tokens(grown) == tokens(whole)
    assert tokens(grown)[1] == grown.tokens - first
    assert 0 < tokens(grown)[0] < first
