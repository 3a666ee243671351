"""Libraries on a store that several machines share; a machine is a PACE_HOME of its own."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import LibraryFileError
from pace_integrations.library import Library, ReadingProfile, tensor_shelf
from pace_integrations.library.page_store import PageStore
from pace_integrations.library.shared_parts import SharedParts
from pace_integrations.model.pages import BlockState
from pace_integrations.store.shared_folder import SharedFolder

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
PROFILE = ReadingProfile(index_layers=(1, 2))
SHORT = GenerationConfig(max_new_tokens=6)
Machine = Callable[..., Library]


def corpus(*places: str) -> Corpus:
    texts = {f"About the {p}": f"The {p} has an oak door. A bell opens the {p}." for p in places}
    return Corpus.from_texts(texts)


@pytest.fixture
def on_machine(url: str, reader: Pace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Open the library of a test on a machine, by the machine's name."""

    def open_there(machine: str, **options: object) -> Library:
        monkeypatch.setenv("PACE_HOME", str(tmp_path / machine))
        return Library.open(url, reader, **{"profile": PROFILE, "selector": "bm25", **options})

    return open_there


def told(library: Library, question: str) -> tuple[object, ...]:
    answer = library.ask(question, generation=SHORT)
    return answer.text, answer.support, [p.number for p in answer.selection.pages]


def test_what_one_machine_reads_the_other_answers_from(
    on_machine: Machine, reader: Pace, tmp_path: Path
) -> None:
    one = on_machine("one")
    assert one.add(corpus("harbor", "castle", "school")).read > 0
    local = Library.open(tmp_path / "local", reader, profile=PROFILE, selector="bm25")
    local.add(corpus("harbor", "castle", "school"))
    other = on_machine("other")
    assert other.unread_pages() == ()
    assert other.add(corpus("school")).read == 0
    question = "What is the castle door made of?"
    assert other.ask(question, generation=SHORT).selection.read == 0
    assert told(other, question) == told(one, question) == told(local, question)
    # A question copies the pages it needs, and no others.
    fetched = [*(tmp_path / "other").rglob("states/*/*.safetensors")]
    assert 0 < len(fetched) <= 3


def test_pages_are_found_by_keys_that_another_machine_has_read(on_machine: Machine) -> None:
    on_machine("one", selector="heads").add(corpus("harbor", "castle", "school"))
    other = on_machine("other", selector="heads")
    assert other.ask("Where is a bell?", generation=SHORT).selection.read == 0


def test_a_question_looks_for_what_others_have_read(
    on_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_shelf, "_LOOK", 0.0)
    one = on_machine("one", selector="heads")
    one.add(corpus("harbor", "castle"), read=False)
    assert on_machine("other").read_pages() > 0
    asked = one.ask("Which door?", generation=SHORT).selection
    assert asked.read == 0
    assert all("keys alike" in page.reason for page in asked.pages)


def test_two_writers_both_count_and_no_number_is_given_twice(on_machine: Machine) -> None:
    one, other = on_machine("one"), on_machine("other")
    places = [f"place{i}" for i in range(8)]

    def add(i: int) -> None:
        (one, other)[i % 2].add(corpus(places[i]), read=False)

    with ThreadPoolExecutor(2) as pool:
        [*pool.map(add, range(8))]
    third = on_machine("third")
    assert {d.title for d in third.documents} == {f"About the {p}" for p in places}
    assert sorted(p.number for p in third.passages) == [*range(1, 9)]


def test_pages_that_two_machines_share_out_are_read_once_each(on_machine: Machine) -> None:
    one, other = on_machine("one"), on_machine("other")
    one.add(corpus("harbor", "castle", "school", "market"), read=False)
    numbers = one.unread_pages()
    assert numbers == (1, 2, 3, 4)
    read = one.read_pages(numbers[:2])
    assert read > 0
    other = on_machine("other")
    assert other.unread_pages() == (3, 4)
    assert other.read_pages() > 0
    assert one.read_pages() == 0
    assert one.unread_pages() == ()


def test_what_is_removed_is_gone_from_the_store(on_machine: Machine, url: str) -> None:
    one = on_machine("one")
    one.add(corpus("harbor", "castle"))
    shared = SharedFolder(url)
    states = shared.list("states")[0]
    before = shared.list(f"states/{states}")
    one.remove("About the castle")
    after = shared.list(f"states/{states}")
    assert 0 < len(after) < len(before)
    assert len(shared.list("text")) == 1
    parts = SharedParts(shared, f"parts/states/{states}")
    parts.refresh()
    assert set(parts.files) == set(after)
    other = on_machine("other")
    assert [d.title for d in other.documents] == ["About the harbor"]
    one.wipe()
    assert shared.list(f"states/{states}") == []
    assert on_machine("third").ask("Which door?", generation=SHORT).selection.read > 0


def test_a_damaged_object_is_read_again_and_mended(
    on_machine: Machine, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    on_machine("one").add(corpus("harbor"))
    shared = SharedFolder(url)
    folder = f"states/{shared.list('states')[0]}"
    (name,) = shared.list(folder)
    data = shared.read(f"{folder}/{name}")
    shared.write(f"{folder}/{name}", data[:-1] + bytes([data[-1] ^ 1]))
    with caplog.at_level(logging.WARNING):
        answer = on_machine("other").ask("Which door?", generation=SHORT)
    assert answer.selection.read > 0
    assert "was changed" in caplog.text
    assert shared.read(f"{folder}/{name}") == data
    assert on_machine("third").ask("Which door?", generation=SHORT).selection.read == 0


@pytest.mark.parametrize("what", ["library.json", "text/*.json"])
def test_a_damaged_copy_is_taken_anew(on_machine: Machine, tmp_path: Path, what: str) -> None:
    one = on_machine("one")
    one.add(corpus("harbor", "castle"))
    question = "What is the castle door made of?"
    expected = told(one, question)
    copy = next(tmp_path.glob(f"one/shared/*/{what}"))
    copy.write_text(copy.read_text().replace("1", "2").replace("door", "gate"))
    assert told(on_machine("one"), question) == expected
    assert one.add(corpus("school")).added == ("About the school",)


def test_a_text_that_was_changed_is_refused(on_machine: Machine, url: str) -> None:
    on_machine("one").add(corpus("harbor"), read=False)
    shared = SharedFolder(url)
    (name,) = shared.list("text")
    shared.write(f"text/{name}", shared.read(f"text/{name}").replace(b"door", b"gate"))
    with pytest.raises(LibraryFileError, match=f"{url}.*was changed"):
        on_machine("other")
    on_machine("one")  # has an unchanged copy


def test_a_list_that_was_changed_is_refused(on_machine: Machine, url: str) -> None:
    on_machine("one").add(corpus("harbor"), read=False)
    shared = SharedFolder(url)
    saved = json.loads(shared.read("list/00000001.json"))
    saved["next_number"] = 77
    shared.write("list/00000001.json", json.dumps(saved).encode())
    with pytest.raises(LibraryFileError, match="was changed"):
        on_machine("other")


def test_names_that_lead_elsewhere_are_refused(
    on_machine: Machine, url: str, tmp_path: Path
) -> None:
    from pace_integrations.library.sealed_list import seal_list

    on_machine("one").add(corpus("harbor"), read=False)
    shared = SharedFolder(url)
    saved = json.loads(shared.read("list/00000001.json"))
    del saved["sha256"]
    saved["documents"][0]["text"] = "../../evil.json"
    shared.write("list/00000001.json", json.dumps({**saved, "sha256": seal_list(saved)}).encode())
    shared.write("evil.json", b"{}")
    with pytest.raises(LibraryFileError, match="names no text"):
        on_machine("other")
    assert not [*tmp_path.rglob("other/**/evil.json")]


def test_copies_are_kept_within_the_budget_and_fetched_again(
    url: str, tmp_path: Path, store_kind: str
) -> None:
    def state(seed: int) -> BlockState:
        random = torch.Generator().manual_seed(seed)
        return BlockState(*(torch.randn(3, 2, 20, 8, generator=random) for _ in "kv"))

    def open_store(machine: str, budget: int = 2**30) -> PageStore:
        shared = SharedFolder(url)
        return PageStore(tmp_path / machine, "m", packed=False, budget=budget, shared=shared)

    writer = open_store("one")
    for i in range(4):
        writer.put(f"doc{i}", {f"block{i}": state(i)}, {})
    assert "block1" not in open_store("other")  # nothing was sent
    writer.send(must=True)
    one = writer.size().state_bytes // 4
    reader = open_store("other", budget=2 * one + one // 2)
    for i in (0, 1, 2, 3, 0, 2):
        found = reader.load(f"block{i}")
        assert found is not None
        assert torch.equal(found.keys, state(i).keys)
        assert reader.size().state_bytes <= reader.budget
    assert all(f"block{i}" in reader for i in range(4))


def test_a_store_that_is_away_leaves_what_was_copied(
    on_machine: Machine, tmp_path: Path, url: str, store_kind: str
) -> None:
    if store_kind != "file":
        pytest.skip("a folder is the store that can be taken away")
    question = "What is the castle door made of?"
    one = on_machine("one")
    one.add(corpus("harbor", "castle"))
    expected = told(one, question)
    place = Path(url.removeprefix("file://"))
    shutil.move(place, tmp_path / "away")
    place.parent.mkdir(exist_ok=True)
    place.write_text("no folder")
    assert told(on_machine("one"), question) == expected
    with pytest.raises(LibraryFileError, match=r"reached|written"):
        one.add(corpus("school"))
    with pytest.raises(LibraryFileError, match="reached"):
        on_machine("other")
    place.unlink()
    shutil.move(tmp_path / "away", place)
    assert one.add(corpus("school")).added == ("About the school",)


def test_another_model_reads_for_itself(
    on_machine: Machine, reader: Pace, url: str, tmp_path: Path
) -> None:
    from checkpoints import save_tiny

    on_machine("one").add(corpus("harbor"))
    with Pace.load(save_tiny(tmp_path / "m", "llama", seed=1), memory=None) as other:
        library = Library.open(url, other, profile=PROFILE, selector="bm25")
        assert library.unread_pages() == (1,)
        assert library.read_pages() > 0
    assert on_machine("two").unread_pages() == ()
