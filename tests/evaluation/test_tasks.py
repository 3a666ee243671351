"""Generated tasks: right answers by an independent look, stable rows, orders that keep the gold."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.evaluation.metrics.registry import score_prediction
from pace_integrations.evaluation.tasks import (
    TASKS,
    Row,
    TaskSpec,
    generate_rows,
    reorder_documents,
)

SIZE = TaskSpec(length=800, rows=5)
ASKED = [name for name in TASKS if name != "prose"]  # tasks with a question
KVPRESS = ("context", "question", "answer_prefix", "answers", "max_new_tokens", "task")
HIDDEN = [name for name in ASKED if name not in {"cwe", "fwe", "vt", "babi_qa1", "babi_qa2"}]


def rows_of(task: str, house: Path, **changes: object) -> list[Row]:
    return generate_rows(task, replace(SIZE, on=house, **changes))


@pytest.mark.parametrize("task", ASKED)
def test_rows_are_stable_distinct_and_plain(task: str, house: Path) -> None:
    rows = rows_of(task, house)
    assert rows == rows_of(task, house)
    assert rows[:3] == rows_of(task, house, rows=3)
    assert rows != rows_of(task, house, seed=1)
    assert len({row.id for row in rows}) == len(rows) == 5
    for row in rows:
        plain = json.loads(json.dumps(row.to_dict()))
        assert set(KVPRESS) <= set(plain)
        assert Row.from_dict(plain) == row
        assert row.task == task
        assert all(text in row.context for _, text in row.documents)


@pytest.mark.parametrize("task", ASKED)
def test_the_right_answer_scores_one_and_silence_nothing(task: str, house: Path) -> None:
    for row in rows_of(task, house):
        assert score_prediction(row.metric, ", ".join(row.answers), row.answers, row.extra) == 1
        assert score_prediction(row.metric, "", row.answers, row.extra) == 0


@pytest.mark.parametrize("length", [400, 1600])
@pytest.mark.parametrize("task", sorted(set(ASKED) - {"planted"}))
def test_documents_have_the_length_that_was_asked_for(task: str, length: int) -> None:
    for row in generate_rows(task, TaskSpec(length, 2)):
        texts = [text for _, text in row.documents]
        tokens = sum(SIZE.count(text) for text in texts)
        assert 0.7 * length <= tokens <= 1.3 * length


@pytest.mark.parametrize("task", HIDDEN)
def test_answers_stand_in_the_gold_documents_and_nowhere_else(task: str, house: Path) -> None:
    for row in rows_of(task, house):
        assert row.gold
        for answer in row.answers:
            held = {i for i, (_, text) in enumerate(row.documents) if answer in text}
            assert held & set(row.gold)
            if task not in {"qa", "mdqa", "qa_2hop"}:  # places and years come more than once
                assert held <= set(row.gold)


@pytest.mark.parametrize("task", ["niah", "niah_single_1", "niah_single_2", "kv", "mdqa"])
def test_depth_moves_the_gold_from_the_first_document_to_the_last(task: str) -> None:
    rows = generate_rows(task, TaskSpec(2000, 5))
    assert [row.position for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    places = [row.gold[0] / (len(row.documents) - 1) for row in rows]
    assert places == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.13)


@pytest.mark.parametrize("task", ASKED)
def test_other_orders_move_all_but_the_gold(task: str, house: Path) -> None:
    for row in rows_of(task, house):
        assert reorder_documents(row, 0) == row
        for order in (1, 2):
            moved = reorder_documents(row, order)
            assert moved == reorder_documents(row, order)
            assert sorted(moved.documents) == sorted(row.documents)
            assert all(moved.documents[i] == row.documents[i] for i in row.gold)
            assert replace(moved, documents=row.documents) == row
    free = len(row.documents) - len(row.gold)
    if free > 3:
        assert len({reorder_documents(row, order).documents for order in range(4)}) > 1


def test_variables_hold_the_value_by_following_the_chain() -> None:
    for row in generate_rows("vt", SIZE):
        held: dict[str, str] = {}
        for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)\.", row.context):
            held[name] = held.get(source, source)
        value = re.search(r"value (\d+)", row.question)[1]
        assert {name for name, v in held.items() if v == value} == set(row.answers)
        assert len(row.answers) == 5


@pytest.mark.parametrize(("task", "top"), [("cwe", 10), ("fwe", 3)])
def test_words_asked_for_are_the_most_frequent(task: str, top: int) -> None:
    for row in generate_rows(task, SIZE):
        words = [w for _, text in row.documents for w in re.findall(r"[a-z][a-z-]*", text)]
        counts = Counter(words).most_common(top + 1)
        assert {word for word, _ in counts[:top]} == set(row.answers)
        assert counts[top - 1][1] > counts[top][1]


def test_stories_end_where_the_answer_says() -> None:
    moved = r"(Mary|John|Sandra|Daniel) (?:went|moved|travelled|journeyed)(?: back)? to the (\w+)\."
    taken = r"(Mary|John|Sandra|Daniel) picked up the (\w+) there\."
    for task in ("babi_qa1", "babi_qa2"):
        for row in generate_rows(task, SIZE):
            at = dict(re.findall(moved, row.context))  # the last move of each stands
            bearer = {thing: who for who, thing in re.findall(taken, row.context)}
            asked = re.search(r"Where is (?:the )?(\w+)\?", row.question)[1]
            assert row.answers == (at[bearer.get(asked, asked)],)


def test_needles_stand_in_prose_noise_or_the_users_own_texts(tmp_path: Path) -> None:
    (tmp_path / "essay.txt").write_text(
        "Ducks swim in circles. Geese prefer straight lines. Swans do neither of it."
    )
    own = generate_rows("niah", replace(SIZE, haystack=tmp_path))[0]
    noise = generate_rows("niah_single_1", SIZE)[0]
    assert "Ducks swim in circles." in own.context
    assert "The grass is green." in noise.context
    assert "The grass is green." not in own.context


def test_facts_are_planted_in_the_users_own_pages(house: Path) -> None:
    from house import PAGES

    words = set(" ".join(map(str, PAGES)).split())
    for row in rows_of("planted", house):
        (at,) = row.gold
        assert row.answers[0] in row.documents[at][1]
        assert len(words & set(row.context.split())) > 5


@pytest.mark.parametrize("task", ["niah", "planted"])
def test_several_facts_of_one_text_are_asked_one_by_one(task: str, house: Path) -> None:
    size = replace(SIZE, rows=7, together=3, on=house)
    rows = generate_rows(task, size)
    assert len({row.id for row in rows}) == 7
    assert [len({row.reading for row in part}) for part in (rows[:3], rows[3:6], rows)] == [1, 1, 3]
    for row in rows:
        assert any(row.answers[0] in row.documents[at][1] for at in row.gold)
        assert row.context.count(row.answers[0]) == 1
    assert (
        generate_rows(task, replace(size, together=1))[0]
        == generate_rows(task, replace(size, rows=1))[0]
    )


def test_bad_requests_are_refused(house: Path) -> None:
    with pytest.raises(ConfigError, match="no task 'niha'"):
        generate_rows("niha", SIZE)
    with pytest.raises(ConfigError, match="planted"):
        generate_rows("planted", SIZE)
    with pytest.raises(ConfigError, match="length"):
        TaskSpec(0)
    with pytest.raises(DocumentError, match="lacks"):
        Row.from_dict({"question": "?"})


def test_rows_of_other_harnesses_are_taken() -> None:
    row = Row.from_dict(
        {"context": "c", "question": "q", "answers": "a", "task": "t", "max_new_tokens": 9}
    )
    assert (row.documents, row.answers, row.max_new_tokens) == ((("", "c"),), ("a",), 9)


def test_prose_is_cut_into_windows_that_cover_it_in_order(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {i} has exactly seven words." for i in range(40))
    (tmp_path / "essay.txt").write_text(text)
    rows = generate_rows("prose", TaskSpec(50, 100, on=tmp_path))
    joined = "\n\n".join(row.documents[0][1] for row in rows)
    assert text.startswith(joined)
    assert len(text) - len(joined) < 400
    assert all(50 <= SIZE.count(row.documents[0][1]) < 70 for row in rows)
    assert rows[:2] == generate_rows("prose", TaskSpec(50, 2, on=tmp_path))
    with pytest.raises(DocumentError, match="less text than 9000 tokens"):
        generate_rows("prose", TaskSpec(9000, 1, on=tmp_path))
    with pytest.raises(ConfigError, match="name some with on"):
        generate_rows("prose", TaskSpec(50))
