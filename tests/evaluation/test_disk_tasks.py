"""Data sets on disk, in the columns of their publishers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from pace_integrations.errors import DocumentError
from pace_integrations.evaluation.metrics.registry import METRICS, score_prediction
from pace_integrations.evaluation.published.catalog import INFINITE, LONGBENCH, LVEVAL
from pace_integrations.evaluation.published.readers import load_rows
from pace_integrations.evaluation.tasks import Row

PASSAGES = "Passage 1:\nOak\nOaks are tall.\n\nPassage 2:\nElm\nElms are rare.\n"


def written(folder: Path, name: str, *objects: dict, whole: object = None) -> list[Row]:
    path = folder / name
    lines = "\n".join(json.dumps(o, ensure_ascii=False) for o in objects)
    path.write_text(lines if whole is None else json.dumps(whole), encoding="utf-8")
    return load_rows(path)


def longbench(dataset: str, **changes: object) -> dict:
    row = {
        "input": "What is tall?",
        "context": PASSAGES,
        "answers": ["Oaks", "Oak"],
        "length": 9,
        "dataset": dataset,
        "language": "en",
        "all_classes": None,
        "_id": "x",
    }
    return {**row, **changes}


@pytest.mark.parametrize("dataset", LONGBENCH)
def test_longbench(tmp_path: Path, dataset: str) -> None:
    classes = ["Oaks", "Elms"] if LONGBENCH[dataset][0] == "classification" else None
    (row,) = written(tmp_path, "x.jsonl", longbench(f"{dataset}_e", all_classes=classes))
    assert (row.metric, row.max_new_tokens) == LONGBENCH[dataset]
    assert row.documents == (("Oak", "Oaks are tall."), ("Elm", "Elms are rare."))
    assert row.question.endswith("What is tall?")
    assert row.answers == ("Oaks", "Oak")


def test_only_the_first_line_counts_where_longbench_says_so(tmp_path: Path) -> None:
    (few,) = written(tmp_path, "a.jsonl", longbench("triviaqa"))
    (many,) = written(tmp_path, "b.jsonl", longbench("hotpotqa"))
    said = "\nOaks\nQuestion: and more words"
    assert score_prediction(few.metric, said, few.answers, few.extra) == 1
    assert score_prediction(many.metric, said, many.answers, many.extra) < 1


def test_a_context_without_passages_stays_whole(tmp_path: Path) -> None:
    (row,) = written(tmp_path, "a.jsonl", longbench("qasper", context="One text."))
    assert row.documents == (("qasper", "One text."),)
    text = "Paragraph 1: Oaks are tall.\n\nParagraph 2: Elms are rare."
    (row,) = written(tmp_path, "b.jsonl", longbench("passage_retrieval_en", context=text))
    assert row.documents == (
        ("Paragraph 1", "Paragraph 1: Oaks are tall."),
        ("Paragraph 2", "Paragraph 2: Elms are rare."),
    )


def test_longbench_2(tmp_path: Path) -> None:
    choices = {f"choice_{c}": f"tree {c}" for c in "ABCD"}
    given = {"_id": "1", "question": "Which?", "context": "Text.", "answer": "C", **choices}
    (row,) = written(tmp_path, "v2.json", whole=[given])
    assert "(C) tree C" in row.question
    assert score_prediction(row.metric, "The correct answer is (C).", row.answers, row.extra) == 1
    assert score_prediction(row.metric, "The correct answer is (A).", row.answers, row.extra) == 0


INFINITE_ANSWERS = {
    "passkey": ("71432", "The key is 71432"),
    "number_string": ("55512", "55512"),
    "kv_retrieval": ("ab-12", "It is: ab-12"),
    "longbook_sum_eng": (["a cat sat"], "a cat sat"),
    "longbook_qa_eng": (["a cat", "cats"], "cat"),
    "longbook_qa_chn": (["猫"], "猫"),
    "longdialogue_qa_eng": (["ROSS"], "Ross."),
    "math_find": (7, "7"),
    "math_calc": ([1, 2, 3], "1, 2, 3"),
    "code_run": (-4, "The result is -4"),
}


@pytest.mark.parametrize("task", INFINITE)
def test_infinitebench(tmp_path: Path, task: str) -> None:
    given = {"id": 0, "context": "Text.", "input": "Which?"}
    if task in INFINITE_ANSWERS:
        answer, said = INFINITE_ANSWERS[task]
        given |= {"answer": answer, "options": []}
    else:
        said = "answer is: B"
        given |= {"answer": ["second"], "options": ["first", "second"]}
    (row,) = written(tmp_path, f"{task}.jsonl", given)
    assert (row.metric, row.max_new_tokens) == INFINITE[task]
    assert score_prediction(row.metric, said, row.answers, row.extra) == pytest.approx(1)
    assert score_prediction(row.metric, "x", row.answers, row.extra) == 0


@pytest.mark.parametrize("dataset", LVEVAL)
def test_lveval(tmp_path: Path, dataset: str) -> None:
    if "chinese" in LVEVAL[dataset] or "stop" in LVEVAL[dataset]:
        pytest.importorskip("jieba")
    given = longbench(f"{dataset}_16k", answers=["tall oaks"])
    given |= {"confusing_facts": [], "answer_keywords": "oaks"}
    (row,) = written(tmp_path, "x.jsonl", given)
    assert row.metric == LVEVAL[dataset]
    assert score_prediction(row.metric, "tall oaks", row.answers, row.extra) == pytest.approx(1)
    assert score_prediction(row.metric, "elms", row.answers, row.extra) == 0
    assert row.max_new_tokens == (16 if "factrecall" in dataset else 64)


def test_lost_in_the_middle(tmp_path: Path) -> None:
    passages = [{"title": f"t{i}", "text": f"x{i}", "isgold": i == 2} for i in range(5)]
    given = {"question": "q", "answers": ["x2"], "ctxs": passages}
    (row,) = written(tmp_path, "nq.jsonl", given)
    assert (row.gold, row.position, row.metric) == ((2,), 0.5, "best_subspan")
    assert row.documents[2] == ("t2", "x2")


def test_squad(tmp_path: Path) -> None:
    qas = [
        {"question": "q1", "answers": [{"text": "a"}, {"text": "a"}, {"text": "b"}]},
        {"question": "q2", "answers": [], "is_impossible": True},
    ]
    article = {
        "title": "New_York",
        "paragraphs": [{"context": "c0", "qas": []}, {"context": "c1", "qas": qas}],
    }
    first, second = written(tmp_path, "squad.json", whole={"version": "2", "data": [article]})
    assert first.documents == (("New York", "c0"), ("New York", "c1"))
    assert (first.answers, first.gold) == (("a", "b"), (1,))
    assert (second.answers, second.gold) == ((), ())
    assert [score_prediction(second.metric, p, second.answers) for p in ("", "oak")] == [1, 0]


@pytest.mark.parametrize("published", [True, False])
def test_hotpotqa(tmp_path: Path, published: bool) -> None:
    given = {
        "_id": "1",
        "question": "q",
        "answer": "yes",
        "context": [["A", ["One. ", "Two."]], ["B", ["Three."]], ["C", ["Four."]]],
        "supporting_facts": [["A", 0], ["C", 0]],
    }
    if not published:  # the Hugging Face form
        given["context"] = {"title": list("ABC"), "sentences": [["One. ", "Two."], ["3"], ["4"]]}
        given["supporting_facts"] = {"title": ["A", "C"], "sent_id": [0, 0]}
    (row,) = written(tmp_path, "hotpot.json", whole=[given])
    assert row.documents[0] == ("A", "One. Two.")
    assert (row.gold, row.answers) == ((0, 2), ("yes",))


@pytest.mark.parametrize("named", ["docs", "paragraphs"])
def test_passages_that_say_whether_they_hold_the_answer(tmp_path: Path, named: str) -> None:
    mark, text = {"docs": ("supporting", "text")}.get(named, ("is_supporting", "paragraph_text"))
    passages = [{"title": f"t{i}", text: f"x{i}" * (i > 0), mark: i in (1, 3)} for i in range(4)]
    given = {"question": "q", "answer": "one", "answer_aliases": ["1"], named: passages}
    if named == "docs":
        given["answers"] = ["one", "1"]
    (row,) = written(tmp_path, "musique.jsonl", given)
    assert row.documents == (("t0", ""), ("t1", "x1"), ("t2", "x2"), ("t3", "x3"))
    assert (row.gold, row.position) == ((1, 3), None)
    assert (row.task, row.answers) == ("musique", ("one", "1"))


def test_pairs_in_a_given_order(tmp_path: Path) -> None:
    pairs = [[f"k{i}", f"v{i}"] for i in range(12)]
    given = {"ordered_kv_records": pairs, "key": "k7", "value": "v7"}
    (row,) = written(tmp_path, "kv.jsonl", given)
    assert "".join(f'"{k}": "{v}"' for k, v in pairs) == re.sub(
        ",?\n", "", "".join(text for _, text in row.documents)
    )
    (gold,) = row.gold
    assert '"k7": "v7"' in row.documents[gold][1]
    assert row.position == round(7 / 11, 2)
    assert score_prediction(row.metric, "v7 [2]", row.answers) == 1


@pytest.mark.parametrize("published", [True, False])
def test_squad_row_by_row_is_squad_by_article(tmp_path: Path, published: bool) -> None:
    rows = [
        {"title": "New_York", "context": "c0", "question": "q0", "answers": ["a", "a", "b"]},
        {"title": "Oak", "context": "c2", "question": "q2", "answers": ["c"]},
        {"title": "New_York", "context": "c1", "question": "q1", "answers": []},
    ]
    if published:  # as on the Hugging Face hub
        rows = [{**r, "answers": {"text": r["answers"], "answer_start": []}} for r in rows]
    flat = written(tmp_path, "squad.jsonl", *rows)
    asked = [[{"question": "q0", "answers": [{"text": "a"}, {"text": "b"}]}]]
    asked += [[{"question": "q1", "answers": []}]]
    york = [{"context": f"c{i}", "qas": qas} for i, qas in enumerate(asked)]
    oak = [{"context": "c2", "qas": [{"question": "q2", "answers": [{"text": "c"}]}]}]
    articles = [{"title": "New_York", "paragraphs": york}, {"title": "Oak", "paragraphs": oak}]
    whole = written(tmp_path, "squad.json", whole={"data": articles})
    assert sorted(flat, key=repr) == sorted(whole, key=repr)


def test_files_may_be_packed_with_gzip(tmp_path: Path) -> None:
    given = {"question": "q", "answers": ["x"], "ctxs": [{"title": "t", "text": "x"}]}
    (row,) = written(tmp_path, "nq.jsonl", given)
    packed = tmp_path / "nq.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "nq.jsonl").read_bytes()))
    assert load_rows(packed) == [row]
    for damaged in (packed.read_bytes()[:-9], b"no gzip", packed.read_bytes()[:20] + b"xxxxxxxx"):
        packed.write_bytes(damaged)
        with pytest.raises(DocumentError, match=r"nq\.jsonl\.gz"):
            load_rows(packed)


def test_rows_of_kvpress_and_our_own_come_back(tmp_path: Path) -> None:
    given = {
        "context": "c",
        "question": "q",
        "answer_prefix": "A:",
        "answers": ["x"],
        "max_new_tokens": 5,
        "task": "niah_single_1",
    }
    (row,) = written(tmp_path, "a.jsonl", given)
    assert (row.task, row.answer_prefix, row.max_new_tokens) == ("niah_single_1", "A:", 5)
    (path := tmp_path / "b.jsonl").write_text(json.dumps(row.to_dict()))
    assert load_rows(path) == [row]


def test_rows_can_be_limited_and_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(longbench("qasper")) for _ in range(5)))
    assert len(load_rows(path, limit=2)) == 2
    with pytest.raises(DocumentError, match=r"missing\.jsonl"):
        load_rows(tmp_path / "missing.jsonl")
    for text, words in (
        ("{", "JSON"),
        ("", "no rows"),
        ('{"prompt": 1}', "columns prompt"),
        ('{"input": "i", "context": "c", "answer": "a"}', "InfiniteBench"),
        ('{"question": "q", "answers": ["a"], "ctxs": [1]}', "another form"),
    ):
        path.write_text(text)
        with pytest.raises(DocumentError, match=words):
            load_rows(path)


def test_every_data_set_has_a_metric_that_there_is() -> None:
    named = {m for m, _ in (*LONGBENCH.values(), *INFINITE.values())} | set(LVEVAL.values())
    assert named <= set(METRICS)
