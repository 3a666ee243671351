"""LlamaIndex's readers and ours: the same pages under the same names, and nothing lost unseen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import SimpleDirectoryReader
from llama_index.core.node_parser import SentenceWindowNodeParser
from llama_index.readers.file import PDFReader
from pdfs import encrypted, labelled, scanned, typeset

from pace_integrations import Corpus, Pace
from pace_integrations.documents import NothingReadError
from pace_integrations.llama_index import PaceQueryEngine, PaceReader
from pace_integrations.llama_index.nodes import (
    make_node_corpus,
    sort_for_reading,
    to_corpus,
)

PAGES = (
    "The gate opens at 7:30. It closes at dusk.",
    "Bread on Mondays.",
    "",
    "Two trunks hold letters.",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.pdf").write_bytes(labelled(typeset(*PAGES)))
    (tmp_path / "b.txt").write_text("The oak stands near the pond.")
    return tmp_path


def named(documents: list[Any]) -> list[tuple[str, str, str | None]]:
    """Ids, files and, of pages with text, labels."""
    return [
        (d.id_, d.metadata["file_name"], d.metadata.get("page_label") if d.text else None)
        for d in documents
    ]


def read(folder: Path, extractor: dict[str, Any]) -> list[Any]:
    reader = SimpleDirectoryReader(
        folder, file_extractor=extractor, filename_as_id=True, raise_on_error=True
    )
    return reader.load_data()


def test_three_ways_to_read_give_the_same_pages_and_ids(folder: Path) -> None:
    ours = read(folder, PaceReader().extractor())
    theirs = read(folder, {".pdf": PDFReader()})
    alone = PaceReader().load_data(folder)
    assert named(ours) == named(alone)
    assert named(ours[:4]) == named(theirs[:4])
    files = Corpus.from_paths(folder)
    for documents in (ours, theirs, alone):
        corpus = to_corpus(documents)
        places = [[(p.index, p.label) for p in d.pages] for d in corpus.documents]
        assert places == [[(p.index, p.label) for p in d.pages] for d in files.documents]


@pytest.mark.parametrize("way", ["ours", "theirs", "alone"])
def test_a_refresh_rereads_only_what_follows_the_change(folder: Path, pace: Pace, way: str) -> None:
    def documents() -> list[Any]:
        if way == "alone":
            return PaceReader().load_data(folder)
        return read(folder, PaceReader().extractor() if way == "ours" else {".pdf": PDFReader()})

    long = "\n".join(["The gate opens at 7:30. It closes at dusk."] * 40)
    (folder / "a.pdf").write_bytes(labelled(typeset(long, *PAGES[1:])))
    engine = PaceQueryEngine.from_documents(documents(), pace=pace, max_new_tokens=8)
    before = engine.session.tokens
    assert engine.refresh(documents()).read == 0
    (folder / "b.txt").write_text("The elm stands near the pond.")
    change = engine.refresh(documents())
    assert 0 < change.read < 0.1 * before
    assert change.kept + change.read == engine.session.tokens == before
    fresh = PaceQueryEngine.from_documents(documents(), pace=pace, max_new_tokens=8)
    assert str(engine.query("Which?")) == str(fresh.query("Which?"))


def test_what_our_reader_read_is_the_corpus_of_the_files(folder: Path) -> None:
    files = Corpus.from_paths(folder)
    for documents in (read(folder, PaceReader().extractor()), PaceReader().load_data(folder)):
        corpus = to_corpus(documents)
        assert corpus.fingerprint == files.fingerprint
        assert [d.id for d in corpus.documents] == [d.id for d in files.documents]


def test_part_of_a_file_keeps_its_pages_and_takes_an_id_of_its_own(folder: Path) -> None:
    documents = PaceReader().load_data(folder)
    (part,) = to_corpus([documents[3]]).documents
    assert [page.index for page in part.pages] == [4]
    assert part.id != to_corpus(documents).documents[0].id


async def test_the_async_reader_reads_the_same(folder: Path) -> None:
    assert await PaceReader().aload_data(folder) == PaceReader().load_data(folder)


def test_chunks_of_a_page_keep_its_number(folder: Path) -> None:
    documents = [d for d in read(folder, {".pdf": PDFReader()})[:4] if d.text.strip()]
    parser = SentenceWindowNodeParser.from_defaults(sentence_splitter=lambda t: t.split(". "))
    chunks = parser.get_nodes_from_documents(documents)
    some = sort_for_reading(reversed(chunks[1:]))
    read_ = list(make_node_corpus(some).pages())
    assert [page.text for _, page in read_] == [node.get_content() for node in some]
    assert [(page.index, page.label) for _, page in read_] == [
        (int(n.ref_doc_id.rpartition("_")[2]) + 1, n.metadata["page_label"]) for n in some
    ]
    assert {page.index for _, page in read_} == {1, 2, 4}


def test_bad_files_are_reported_and_the_others_read(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "locked.pdf").write_bytes(encrypted(typeset("secret"), "word"))
    (folder / "scan.pdf").write_bytes(scanned())
    (folder / "torn.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    reader = PaceReader()
    with caplog.at_level(logging.WARNING):
        documents = SimpleDirectoryReader(folder, file_extractor=reader.extractor()).load_data()
    assert {d.metadata["file_name"] for d in documents} == {"a.pdf", "b.txt"}
    status = {Path(file.path).name: file.status for file in reader.report.files}
    assert status == {
        "a.pdf": "ok",  # a blank page hides nothing
        "b.txt": "ok",
        "locked.pdf": "encrypted",
        "scan.pdf": "no_text_layer",
        "torn.pdf": "corrupt",
    }
    printed = capsys.readouterr().out
    for file in reader.report.problems:
        assert file.remedy
        assert file.remedy in caplog.text
        assert file.status == "partial" or f"{file.status}: {file.remedy}" in printed


def test_a_bad_file_alone_raises(folder: Path) -> None:
    (folder / "locked.pdf").write_bytes(encrypted(typeset("secret"), "word"))
    with pytest.raises(NothingReadError, match="encrypted") as caught:
        PaceReader().load_data(folder / "locked.pdf")
    assert [file.status for file in caught.value.report.files] == ["encrypted"]
    with pytest.raises(Exception, match="Error loading file"):
        SimpleDirectoryReader(
            input_files=[folder / "locked.pdf"],
            file_extractor=PaceReader().extractor(),
            raise_on_error=True,
        ).load_data()


def test_other_file_systems_are_read(folder: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    system = MemoryFileSystem()
    system.pipe("/papers/a.pdf", (folder / "a.pdf").read_bytes())
    reader = SimpleDirectoryReader(
        "/papers", fs=system, file_extractor=PaceReader().extractor(), filename_as_id=True
    )
    documents = reader.load_data()
    assert [d.text for d in documents] == [d.text for d in PaceReader().load_data(folder / "a.pdf")]
    assert all(d.metadata["file_path"] == "/papers/a.pdf" for d in documents)


def test_an_engine_over_read_documents_is_the_engine_over_the_files(
    folder: Path, pace: Pace
) -> None:
    documents = SimpleDirectoryReader(folder, file_extractor=PaceReader().extractor()).load_data()
    by_documents = PaceQueryEngine.from_documents(documents, pace=pace, max_new_tokens=8)
    by_paths = PaceQueryEngine.from_paths(folder, pace=pace, max_new_tokens=8)
    assert str(by_documents.query("Which?")) == str(by_paths.query("Which?"))
    assert by_documents.session.tokens == by_paths.session.tokens
