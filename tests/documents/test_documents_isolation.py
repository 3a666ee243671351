"""Parsers that hang, crash or grow end their file, and the others are read on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pdfs import encrypted, typeset

from pace_integrations.documents import Corpus, ReadLimits, ReadOptions, ReadProgress
from pace_integrations.documents.sandbox.workers import end_idle_workers

PDF = typeset(*(f"The rent of room {number} is 900 euros." for number in range(1, 6)))

# Stands in for pdfium in the workers: it does on the third page what the first line tells it.
PARSER = """
import ctypes, os, sys, time, types

class PdfiumError(RuntimeError):
    pass

class PdfDocument:
    def __init__(self, data, password=None):
        self.deed = data[9:].split()[0].decode()
        if self.deed == "open":
            os.abort()

    def __len__(self):
        return 5

    def close(self):
        pass

    def __getitem__(self, index):
        if index == 2:
            {"hang": lambda: time.sleep(60), "abort": os.abort, "exit": lambda: os._exit(3),
             "print": lambda: print("noise", flush=True), "grow": lambda: bytearray(2**32),
             "flood": lambda: sys.stderr.write("noise" * 99999)}[self.deed]()
        return Page(index)

    def get_page_label(self, index):
        return str(index + 1)

    def get_metadata_dict(self, skip_empty):
        return {}

    def get_toc(self):
        return ()

    def get_formtype(self):
        return 0

    raw = None

class Page:
    def __init__(self, index):
        self.index = index
        self.raw = self

    def close(self):
        pass

    def get_textpage(self):
        return self

    def get_bbox(self):
        return (0, 0, 600, 800)

    def count_chars(self):
        return len(self.get_text_range())

    def get_text_range(self):
        return f"Page number {self.index + 1}."

class Rect(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in ("left", "top", "right", "bottom")]

def box(page, index, pointer):
    rect = pointer._obj
    rect.left, rect.bottom, rect.right, rect.top = 8 * index, 400, 8 * index + 8, 410

raw = types.SimpleNamespace(
    FS_RECTF=Rect, FPDFText_GetLooseCharBox=box, FPDFDoc_GetAttachmentCount=lambda document: 0,
    FPDFText_GetTextObject=lambda page, index: None,
    FPDFPage_GetAnnotCount=lambda page: 0, FORMTYPE_XFA_FULL=2, FORMTYPE_XFA_FOREGROUND=3,
    FPDF_PAGEOBJ_IMAGE=3)
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options whose parser is the one above, in fresh workers."""
    folder = tmp_path / "parser"
    folder.mkdir()
    (folder / "pypdfium2.py").write_text(PARSER)
    monkeypatch.syspath_prepend(folder)
    end_idle_workers()
    yield ReadOptions(ReadLimits(seconds=20), "pdfium")
    end_idle_workers()


def folder_of(tmp_path: Path, *deeds: str) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for deed in deeds:
        (folder / f"{deed}.pdf").write_bytes(b"%PDF-1.7\n" + deed.encode())
    (folder / "z.txt").write_text("The last one.")
    return folder


@pytest.mark.parametrize(
    ("deed", "word"), [("abort", "signal 6"), ("exit", "exit status 3"), ("hang", "limit of 2.5 s")]
)
def test_a_parser_that_dies_costs_what_comes_after_in_its_file(tmp_path, options, deed, word):
    limits = ReadLimits(seconds=2.5) if deed == "hang" else options.limits
    corpus = Corpus.from_paths(folder_of(tmp_path, deed), options=replace(options, limits=limits))
    broken, last = corpus.report.files
    assert (broken.status, broken.pages, broken.pages_with_text) == ("partial", 5, 2)
    assert word in broken.warnings[0]
    assert "pages not read" in broken.warnings[1]
    assert broken.remedy
    assert [page.text for page in corpus.documents[0].pages] == ["Page number 1.", "Page number 2."]
    assert len(corpus.documents[0].sha256) == 64
    assert last.status == "ok"


def test_a_parser_that_dies_on_opening_leaves_a_status(tmp_path, options):
    corpus = Corpus.from_paths(folder_of(tmp_path, "open"), options=options)
    broken, last = corpus.report.files
    assert (broken.status, last.status) == ("corrupt", "ok")
    assert broken.warnings == ("the parser crashed (signal 6)",)


def test_noise_of_a_parser_reaches_nobody_and_growth_has_an_end(tmp_path, options, capfd):
    corpus = Corpus.from_paths(folder_of(tmp_path, "flood", "grow", "print"), options=options)
    assert capfd.readouterr() == ("", "")
    flood, grow, noise, _ = corpus.report.files
    assert (flood.status, noise.status) == ("ok", "ok")
    if sys.platform == "linux":
        assert grow.status == "partial"
        assert "page 3 could not be read: MemoryError" in grow.warnings[0]


def test_cancelling_ends_a_parser_that_hangs(tmp_path, options):
    def cancel(progress: ReadProgress) -> None:
        if progress.pages == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.from_paths(folder_of(tmp_path, "hang"), options=options, watch=cancel)


@pytest.fixture
def papers(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.pdf").write_bytes(PDF if number else encrypted(PDF, "secret"))
    return folder


def test_the_number_of_workers_changes_nothing(papers):
    corpora = [Corpus.from_paths(papers, options=ReadOptions(workers=n)) for n in (0, 1, 3)]
    for corpus in corpora:
        assert corpus.documents == corpora[0].documents
        files = [replace(file, seconds=0.0) for file in corpus.report.files]
        assert files == [replace(file, seconds=0.0) for file in corpora[0].report.files]


def test_progress_tells_pages_and_the_time_left(papers):
    seen: list[ReadProgress] = []
    corpus = Corpus.from_paths(papers, watch=seen.append)
    pages = sum(file.pages for file in corpus.report.files)
    assert [p.pages for p in seen] == sorted(p.pages for p in seen)
    last = seen[-1]
    assert (last.pages, last.files_done, last.files) == (pages, 6, 6)
    assert last.pages_per_second > 0
    assert last.seconds_left == 0.0
    assert {Path(p.path).name for p in seen} == {f"{number}.pdf" for number in range(6)}


@pytest.mark.parametrize("workers", [0, 1])
def test_passwords_are_given_or_asked_for(papers, workers):
    def statuses(password) -> list[str]:
        options = ReadOptions(password=password, workers=workers)
        return [file.status for file in Corpus.from_paths(papers, options=options).report.files]

    assert statuses("secret") == ["ok"] * 6
    assert statuses("wrong")[0] == "encrypted"
    asked: list[str] = []
    answers = iter(["wrong", "secret"])

    def ask(path: str) -> str | None:
        asked.append(path)
        return next(answers, None)

    assert statuses(ask) == ["ok"] * 6
    assert asked == [str(papers / "0.pdf")] * 2
    assert statuses(ask)[0] == "encrypted"

    def fail(path: str) -> str:
        raise LookupError(path)

    with pytest.raises(LookupError, match=r"0\.pdf"):
        statuses(fail)


def test_a_worker_that_died_while_idle_is_replaced(papers):
    from pace_integrations.documents.sandbox import workers as pool

    Corpus.from_paths(papers)
    for worker in pool._idle:
        worker._process.terminate()
    assert Corpus.from_paths(papers).report.counts() == {"encrypted": 1, "ok": 5}


def test_a_script_without_a_guard_reads_and_workers_load_nothing_heavy(papers, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pace_integrations.documents import Corpus\n"
        f"print(len(Corpus.from_paths({str(papers)!r}).documents))\n"
        "print([m for m in ('torch', 'transformers', 'pypdf') if m in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("5\n[]\n", "")
    probe = "import sys, pace_integrations.documents.sandbox.child; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_starts_workers_of_its_own(papers):
    Corpus.from_paths(papers)
    child = os.fork()
    if child == 0:
        read = len(Corpus.from_paths(papers).documents)
        end_idle_workers()
        os._exit(0 if read == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(Corpus.from_paths(papers).documents) == 5


def test_relative_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch) -> None:
    """A kept worker was started in another folder."""
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{place}.pdf").write_bytes(PDF)
        monkeypatch.chdir(tmp_path / place)
        (file,) = Corpus.from_paths([f"{place}.pdf"]).report.files
        assert (file.path, file.status) == (f"{place}.pdf", "ok")
