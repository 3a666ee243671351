"""The library: what is read, when, and that answers rest on nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from masks import mask_blocks
from shared_stores import Places

from pace_integrations import Answer, Constraint, Corpus, GenerationConfig, Pace
from pace_integrations.errors import (
    ConfigError,
    DocumentError,
    LibraryFileError,
    QuestionError,
)
from pace_integrations.library import (
    Block,
    Library,
    PagesSelector,
    ReadingProfile,
    SearchView,
    Selector,
)
from pace_integrations.library.describe import cite_blocks

PROFILE = ReadingProfile(index_layers=(1, 2))
SHORT = GenerationConfig(max_new_tokens=8)
PLACES = ["harbor", "bakery", "library", "station", "garden", "castle", "market", "school"]


def page_text(place: str, detail: str = "oak") -> str:
    return f"The {place} has a {detail} door. It opens when the {place} keeper rings a bell."


def corpus(*places: str) -> Corpus:
    return Corpus.from_texts({f"About the {place}": page_text(place) for place in places})


def book(pages: Sequence[str]) -> Corpus:
    return Corpus.from_texts({"Book": "\f".join(pages)})


def open_library(folder: Path | str, pace: Pace, **options: object) -> Library:
    return Library.open(folder, pace, **{"profile": PROFILE, **options})


def ask(library: Library, question: str, **options: object) -> Answer:
    return library.ask(question, **{"generation": SHORT, **options})


def told(answer: Answer) -> tuple[object, ...]:
    """All of an answer that must not depend on what else there is."""
    pages = [(p.number, p.answer, p.likelihood, p.refusal) for p in answer.selection.pages]
    return answer.text, answer.support, pages


@pytest.fixture
def library(at: Places, reader: Pace) -> Library:
    made = open_library(at("lib"), reader)
    made.add(corpus(*PLACES))
    return made


def test_every_page_is_read_once(at: Places, reader: Pace, library: Library) -> None:
    assert library.add(corpus(*PLACES)).read == 0
    assert library.stats().unread == 0
    again = open_library(at("lib"), reader)
    assert again.add(corpus(*PLACES)).read == 0
    assert again.add(corpus("lighthouse")).read > 0
    answer = ask(again, "What is the harbor door made of?")
    assert answer.selection.read == 0
    assert answer.usage.cached_tokens > 0


def test_one_changed_page_costs_that_page_and_changes_no_other_answer(
    at: Places, reader: Pace
) -> None:
    pages = [page_text(f"place{i} hall", f"number {i}") for i in range(40)]
    library = open_library(at("lib"), reader, selector="bm25")
    first = library.add(book(pages)).read
    before = [
        told(ask(library, f"Which number is on the place{i} door?", passages=1)) for i in (3, 30)
    ]
    kept = {p.number: p.page.text for p in library.passages}
    pages[17] = page_text("place17 hall", "number 99")
    change = library.replace(book(pages))
    expected = len(
        reader.engine.prompts.encode_passage(41, "Book", library.passages[17].page.label, pages[17])
    )
    assert (change.replaced, change.read) == (("Book",), expected)
    assert change.read < first / 30
    after = [
        told(ask(library, f"Which number is on the place{i} door?", passages=1)) for i in (3, 30)
    ]
    assert before == after
    # The changed page has a number of its own; the others kept theirs.
    numbers = {p.number: p.page.text for p in library.passages}
    assert sorted(numbers) == [*range(1, 18), *range(19, 42)]
    assert all(kept[number] == text for number, text in numbers.items() if number != 41)


def test_numbers_of_removed_pages_are_not_given_out_again(library: Library) -> None:
    library.remove("About the school", "About the harbor")
    library.add(corpus("lighthouse", "harbor"))
    numbers = {p.document.title: p.number for p in library.passages}
    assert numbers["About the lighthouse"] == 9
    assert numbers["About the harbor"] == 10
    assert numbers["About the bakery"] == 2


def test_removing_reads_nothing_and_forgets_everything(library: Library) -> None:
    change = library.remove("About the harbor")
    assert (change.removed, change.read) == (("About the harbor",), 0)
    stats = library.stats()
    assert (stats.documents, stats.unread) == (7, 0)
    folder = library.folder
    assert len(list((folder / "text").glob("*.json"))) == 7
    assert "harbor" not in "".join(path.read_text() for path in (folder / "text").glob("*.json"))
    answer = ask(library, "What is the harbor door made of?")
    assert "harbor" not in "".join(page.document for page in answer.selection.pages)
    with pytest.raises(DocumentError, match="no document 'About the harbor'"):
        library.remove("About the harbor")


@pytest.mark.parametrize("strategy", ["each", "together"])
def test_an_answer_does_not_depend_on_what_else_is_held_or_when_it_was_read(
    library: Library, strategy: str
) -> None:
    question = "What is the harbor door made of?"
    options = {"strategy": strategy, "selector": pick("harbor", "castle")}
    expected = ask(library, question, **options)
    library.wipe()
    again = ask(library, question, **options)
    assert again.selection.read > 0
    assert told(again) == told(expected)
    library.remove("About the market")
    library.add(corpus("tower"))
    assert told(ask(library, question, **options)) == told(expected)


def pick(*places: str) -> object:
    """A selector that takes the pages about some places."""

    def find(question: str) -> list[int]:
        return [PLACES.index(place) + 1 for place in places]

    return lambda view: PagesSelector(view, find, "chosen")


def test_evicted_states_are_read_or_fetched_again_and_nothing_else_changes(
    at: Places, place_kind: str, reader: Pace
) -> None:
    small = open_library(at("small"), reader, budget=60_000)
    large = open_library(at("large"), reader)
    for place in PLACES:
        small.add(corpus(place))
        large.add(corpus(place))
    assert small.stats().store.state_bytes <= 60_000 < large.stats().store.state_bytes
    assert small.stats().unread == 0
    question = "What is the harbor door made of?"
    one, other = ask(small, question), ask(large, question)
    assert (one.selection.read > 0) is (place_kind == "folder")  # a shared store still has them
    assert other.selection.read == 0
    assert told(one) == told(other)


def test_states_in_eight_bits_answer_the_same_whether_read_now_or_before(
    at: Places, reader: Pace
) -> None:
    library = open_library(at("lib"), reader, states="int8")
    library.add(corpus(*PLACES))
    kept = ask(library, "What is the castle door made of?")
    library.wipe()
    fresh = ask(library, "What is the castle door made of?")
    assert fresh.selection.read > 0
    assert told(kept) == told(fresh)


@pytest.mark.parametrize("selector", ["bm25", "heads", "fused"])
def test_selectors_find_pages_and_say_why(library: Library, selector: str) -> None:
    choice = library.find_pages("Who rings a bell at the station?", selector=selector, count=3)
    assert len(choice.scored) == 3
    assert all(scored.reason for scored in choice.scored)
    assert choice.scored[0].score >= choice.scored[-1].score
    if selector != "heads":  # random weights
        assert choice.scored[0].block.document.title == "About the station"


def test_keys_find_the_text_that_is_the_question(library: Library) -> None:
    # A page's own words, read as a question, are nearer to that page than to any other on average.
    found = library.find_pages(page_text("garden"), selector="heads", count=8)
    assert {scored.block.number for scored in found.scored} == set(range(1, 9))


def test_keys_have_no_say_while_pages_are_unread(at: Places, reader: Pace) -> None:
    library = open_library(at("lib"), reader)
    library.add(corpus(*PLACES), read=False)
    assert library.stats().unread == 8
    question = "Who rings a bell at the station?"
    ask(library, question, selector=pick("harbor"))  # reads that page, and no other
    assert library.stats().unread == 7
    choice = library.find_pages(question, selector="fused")
    assert choice.scored[0].block.document.title == "About the station"
    assert "7 passages were not read yet" in choice.note
    assert "keys" not in choice.scored[0].reason
    assert library.add(corpus("tower")).read > 0  # reads the rest too
    assert library.stats().unread == 0
    assert "keys" in library.find_pages(question, selector="fused").scored[0].reason


def test_a_selector_of_ones_own(library: Library) -> None:
    answer = ask(library, "Anything?", selector=pick("market", "castle"))
    assert [page.document for page in answer.selection.pages] == [
        "About the market",
        "About the castle",
    ]
    assert answer.selection.selector == "chosen"


def test_a_question_without_known_words_still_gets_two_pages(library: Library) -> None:
    answer = ask(library, "Xyzzy?", selector="bm25", strategy="together", budget=1)
    assert len({page.number for page in answer.selection.pages}) == 2
    assert "no passage has a word" in answer.selection.reason


def test_the_budget_bounds_what_stands_in_one_prompt(library: Library) -> None:
    sizes = [
        sum(
            page.tokens
            for page in ask(library, "door bell", strategy="together", budget=b).selection.pages
        )
        for b in (300, 600)
    ]
    assert sizes[0] <= 300 < sizes[1] <= 600


def test_the_strategy_goes_by_the_question(library: Library) -> None:
    one = ask(library, "What is the harbor door made of?")
    assert one.selection.strategy == "each"
    assert all(page.answer is not None for page in one.selection.pages)
    many = ask(library, "Compare the harbor with the bakery.")
    assert many.selection.strategy == "together"
    assert all(page.answer is None for page in many.selection.pages)
    assert ask(library, "Compare these.", strategy="each").selection.strategy == "each"


def test_a_stream_joined_is_the_answer_and_async_forms_agree(library: Library) -> None:
    for strategy in ("each", "together"):
        expected = ask(library, "What is the garden door made of?", strategy=strategy)
        stream = library.stream(
            "What is the garden door made of?", strategy=strategy, generation=SHORT
        )
        assert "".join(stream) == expected.text
        assert told(stream.answer) == told(expected)
        loop = library.aask("What is the garden door made of?", strategy=strategy, generation=SHORT)
        assert told(asyncio.run(loop)) == told(expected)


def test_many_questions_get_the_answers_of_each_alone(library: Library) -> None:
    questions = [f"What is the {place} door made of?" for place in PLACES[:4]]
    together = library.ask_many(questions, generation=SHORT)
    assert [told(answer) for answer in together] == [told(ask(library, q)) for q in questions]


def test_a_conversation_is_searched_by_its_last_question(library: Library) -> None:
    messages = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello, ask me."},
        {"role": "user", "content": "Who keeps the castle?"},
    ]
    answer = ask(library, messages, selector="bm25")
    assert answer.selection.pages[0].document == "About the castle"


@pytest.mark.parametrize("strategy", ["each", "together"])
def test_an_answer_keeps_the_form_that_was_asked_for(library: Library, strategy: str) -> None:
    library.profile = replace(PROFILE, threshold=1.0)
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1}
    form = GenerationConfig(max_new_tokens=12, constraint=Constraint.json_schema(schema))
    question = "How many doors has the harbor?"
    for on_unsupported in ("show", "refuse"):
        answer = library.ask(
            question, generation=form, strategy=strategy, on_unsupported=on_unsupported
        )
        assert answer.supported is False
        (number,) = json.loads(answer.text)
        assert isinstance(number, int)


def test_usage_counts_what_was_asked_and_what_was_kept(library: Library, reader: Pace) -> None:
    prompts = reader.engine.prompts
    head, tail = len(prompts.encode_prefix()), len(prompts.encode_suffix("Doors?"))
    for strategy, rows in (("each", 3), ("together", 1)):
        answer = ask(library, "Doors?", strategy=strategy, passages=3)
        kept = head + sum(page.tokens for page in answer.selection.pages)
        assert len(answer.selection.pages) == 3
        assert answer.usage.cached_tokens == kept
        assert answer.usage.input_tokens == kept + rows * tail
    library.wipe()
    again = ask(library, "Doors?", strategy="together", passages=3)
    assert again.usage.cached_tokens == head


def test_evidence_stands_on_the_pages_and_fits_the_question(library: Library) -> None:
    answer = ask(library, "When does the castle keeper ring a bell?")
    texts = {p.number: p.page.text for p in library.passages}
    assert answer.evidence
    for citation in (*answer.evidence, *answer.citations):
        start, end = citation.span
        assert texts[citation.passage][start:end] == citation.quote
    assert "castle keeper rings" in answer.evidence[0].quote


def test_quotes_of_a_page_with_several_passages_come_from_what_was_read(
    at: Places, reader: Pace
) -> None:
    rooms = [f"Room {i} of the hall is {i + 20} m wide and has {i} windows." for i in range(60)]
    library = open_library(at("lib"), reader)
    library.add(Corpus.from_texts({"Hall": " ".join(rooms)}))
    blocks = list(library.find_pages("Room 7", count=9).scored)
    assert len({scored.block.number for scored in blocks}) == 1
    chosen = [scored.block for scored in blocks[1:4]]
    first = min(block.passage.start for block in chosen)
    last = max(block.passage.end for block in chosen)
    for room in (rooms[i] for i in range(60)):
        start = " ".join(rooms).index(room)
        (citation,) = cite_blocks(f"{room} [1]", "How wide?", chosen) or (None,)
        if first <= start and start + len(room) <= last:
            assert citation is not None
            assert citation.span == (start, start + len(room))
            assert (citation.quote, citation.method) == (room, "cited")


def test_an_unsupported_answer_is_shown_marked_or_refused(library: Library) -> None:
    strict = replace(PROFILE, threshold=1.0)
    library.profile = strict
    for strategy in ("each", "together"):
        shown = ask(library, "What is the harbor door made of?", strategy=strategy)
        assert shown.supported is False
        assert 0 <= shown.support < 1
        refused = ask(
            library,
            "What is the harbor door made of?",
            strategy=strategy,
            on_unsupported="refuse",
        )
        assert refused.text == "The documents do not say."
        assert refused.citations == ()
        assert refused.evidence == shown.evidence
        assert shown.text != refused.text
    library.profile = replace(PROFILE, threshold=0.0)
    assert ask(library, "What is the harbor door made of?").supported is True


def test_a_model_that_verifies_is_asked_about_its_answers(library: Library) -> None:
    question = "What is the harbor door made of?"
    plain = ask(library, question)
    # Nobody has measured what a figure would say, so none is given.
    assert (plain.support, plain.supported) == (None, None)
    assert plain.evidence
    # Without a fitted curve nobody knows what a verdict is worth, so none is asked for.
    library.profile = replace(PROFILE, verification="Is that right?")
    assert told(ask(library, question)) == told(plain)
    curve = {"log_likelihood": 1.0, "refusal_log_odds": -1.0, "verdict_log_odds": 0.0}
    supports = []
    for weight in (0.0, 1.0):
        weights = {**curve, "verdict_log_odds": weight}
        library.profile = replace(PROFILE, verification="Is that right?", support=weights)
        answers = [ask(library, question, strategy=s) for s in ("each", "together")]
        assert all(0 <= answer.support <= 1 for answer in answers)
        assert all(answer.supported is (answer.support >= 0.5) for answer in answers)
        supports.append([answer.support for answer in answers])
    assert supports[0] != supports[1]


def test_models_not_trained_for_pages_read_the_chosen_ones_together(
    at: Places, reader: Pace
) -> None:
    library = Library.open(at("lib"), reader)
    assert (library.attention, library.exact) == ("full", True)
    assert library.add(corpus(*PLACES)).read == 0
    options = {"selector": pick("harbor", "castle"), "generation": SHORT}
    answer = library.ask("What is the harbor door made of?", **options)
    assert answer.exact is True
    assert answer.selection.strategy == "together"
    assert answer.selection.read > 0
    assert library.ask("Who rings?", **options).selection.read == 0
    # The same pages, read by a session, give the same words.
    texts = {f"About the {place}": page_text(place) for place in ("harbor", "bakery")}
    session = reader.read(Corpus.from_texts(texts))
    same = library.ask(
        "What is the harbor door made of?", selector=pick("harbor", "bakery"), generation=SHORT
    )
    assert same.text == session.ask("What is the harbor door made of?", generation=SHORT).text
    with pytest.raises(ConfigError, match="bm25"):
        library.ask("What?", selector="heads")


def test_pages_of_an_untrained_model_can_be_had_with_the_loss_told(
    at: Places, reader: Pace
) -> None:
    library = Library.open(at("lib"), reader, attention="pages")
    assert library.add(corpus(*PLACES[:3])).read > 0
    assert ask(library, "What is the harbor door made of?").exact is False


def test_pages_stitched_answer_as_one_prompt_under_the_mask_of_blocks(
    library: Library, reader: Pace
) -> None:
    prompts, model = reader.engine.prompts, reader.engine.loaded.model
    question = "What is the bakery door made of?"
    blocks = [prompts.encode_prefix()]
    for number, place in ((1, "harbor"), (2, "bakery")):
        blocks.append(prompts.encode_passage(number, f"About the {place}", None, page_text(place)))
    ids = [token for block in blocks for token in block] + prompts.encode_suffix(question)
    mask = mask_blocks([len(block) for block in blocks], len(ids) + 8)
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < 8:
            size = len(ids) + len(written)
            logits = model(
                torch.tensor([ids + written]), attention_mask=mask[:, :, :size, :size]
            ).logits[0, -1]
            written.append(int(logits.argmax()))
    expected = reader.engine.loaded.tokenizer.decode(written, skip_special_tokens=True)
    answer = ask(library, question, strategy="together", selector=pick("harbor", "bakery"))
    assert answer.text == expected.lstrip().rstrip("\ufffd")  # half a character is not shown


def test_a_folder_is_kept_in_step(tmp_path: Path, at: Places, reader: Pace) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    for place in PLACES[:3]:
        (folder / f"{place}.txt").write_text(page_text(place))
    library = open_library(at("lib"), reader)
    library.add(corpus("tower"))
    first = library.sync(folder)
    assert first.added == ("harbor.txt", "bakery.txt", "library.txt") or len(first.added) == 3
    quiet = library.sync(folder)
    assert (quiet.added, quiet.replaced, quiet.removed, quiet.read) == ((), (), (), 0)
    assert quiet.report.files == ()  # nothing was opened
    (folder / "harbor.txt").unlink()
    (folder / "bakery.txt").write_text(page_text("bakery", "glass"))
    (folder / "school.txt").write_text(page_text("school"))
    change = library.sync(folder)
    assert (len(change.added), len(change.replaced), len(change.removed)) == (1, 1, 1)
    texts = "".join(p.page.text for p in library.passages)
    assert "glass" in texts
    assert "tower" in texts  # from elsewhere
    assert "harbor" not in texts
    with pytest.raises(DocumentError, match="no folder"):
        library.sync(tmp_path / "none")


def test_a_folder_with_a_broken_file_keeps_the_old_version_and_says_so(
    tmp_path: Path, at: Places, reader: Pace
) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "a.txt").write_text(page_text("harbor"))
    library = open_library(at("lib"), reader)
    library.sync(folder)
    (folder / "a.txt").write_text("")
    change = library.sync(folder)
    assert [file.status for file in change.report.files] == ["empty"]
    assert "harbor" in library.passages[0].page.text


def test_bad_input_is_refused_with_the_reason(at: Places, reader: Pace) -> None:
    library = open_library(at("lib"), reader)
    with pytest.raises(DocumentError, match="empty; add documents"):
        library.ask("Anything?")
    library.add(corpus("harbor"))
    with pytest.raises(QuestionError):
        library.ask("  ")
    for options, why in (
        ({"strategy": "all"}, "strategy must be one of"),
        ({"selector": "dense"}, "selector must be one of"),
        ({"on_unsupported": "hide"}, "on_unsupported must be"),
        ({"passages": 0}, "passages must be at least 1"),
        ({"budget": 0}, "budget must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=why):
            library.ask("Anything?", **options)
    for options, why in (
        ({"attention": "some"}, "attention must be"),
        ({"states": "int4"}, "states must be"),
        ({"passage": 1}, "passage must be"),
    ):
        with pytest.raises(ConfigError, match=why):
            open_library(at("other"), reader, **options)


@pytest.mark.local_folder("the names of an address are only looked at below its list")
@pytest.mark.usefixtures("place_kind")
def test_a_folder_of_something_else_is_refused(tmp_path: Path, reader: Pace) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(LibraryFileError, match="is no library"):
        open_library(tmp_path / "mine", reader)
    with pytest.raises(LibraryFileError, match="is no library"):
        open_library(tmp_path / "mine/notes.txt", reader)


@pytest.mark.local_folder("damaged copies are taken anew, which test_shared_library.py shows")
def test_a_damaged_library_says_so(reader: Pace, library: Library) -> None:
    text = next((library.folder / "text").glob("*.json"))
    text.write_text(text.read_text().replace("door", "gate"))
    with pytest.raises(LibraryFileError, match="was changed"):
        open_library(library.folder, reader)
    listing = library.folder / "library.json"
    listing.write_text(listing.read_text().replace('"next_number": 9', '"next_number": 1'))
    with pytest.raises(LibraryFileError, match="was changed"):
        open_library(library.folder, reader)


def test_the_library_is_reached_from_the_model(at: Places, reader: Pace) -> None:
    library = reader.library(at("lib"), profile=PROFILE)
    library.add(corpus("harbor", "castle"))
    assert library.pace is reader
    assert ask(library, "What is the castle door made of?").citations is not None


def test_a_selector_sees_passages_with_their_tokens(library: Library) -> None:
    seen: list[int] = []

    def make(view: SearchView) -> Selector:
        seen.extend(view.count_tokens(block) for block in view.blocks)
        assert all(isinstance(block, Block) for block in view.blocks)
        return PagesSelector(view, lambda question: [1], "first")

    ask(library, "Anything?", selector=make)
    assert len(seen) == 8
    assert all(count > 50 for count in seen)


def test_threads_ask_and_change_a_library_at_once(library: Library) -> None:
    question = "What is the harbor door made of?"
    options = {"selector": pick("harbor", "castle"), "generation": SHORT}
    expected = told(library.ask(question, **options))

    def work(number: int) -> object:
        if number % 2:
            library.add(corpus(f"tower{number}"))
            library.remove(f"About the tower{number}")
            return expected
        return told(library.ask(question, **options))

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(work, range(12)))
    assert library.stats().documents == 8
