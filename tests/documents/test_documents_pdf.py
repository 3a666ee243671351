"""PDF files: pages, labels, titles, and a status for whatever is wrong."""

from __future__ import annotations

import logging
import random
import re
import threading
import warnings
from io import BytesIO

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdfs import encrypted, joined, labelled, rewritten, scanned, typeset, without_pages
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject

from pace_integrations.documents import ReadLimits, ReadOptions
from pace_integrations.documents.formats.capture import captured_messages
from pace_integrations.documents.formats.clean import clean_characters, clean_page, vocabulary
from pace_integrations.documents.formats.pdf.metadata import real_title
from pace_integrations.documents.formats.pdf.pypdf_fonts import prefer_named_encodings
from pace_integrations.documents.ingest import read_file

PYPDF = ReadOptions(pdf="pypdf")
THREE = typeset("The rent is 900 euros.", "The deposit is 1800 euros.", "Pets are allowed.")


@pytest.fixture
def read(tmp_path):
    def read_bytes(data: bytes, name: str = "file.pdf", options: ReadOptions | None = None):
        path = tmp_path / name
        path.write_bytes(data)
        return read_file(path, options)

    return read_bytes


def test_pages_are_numbered_from_one_and_labelled_by_their_index(read):
    document, report = read(THREE)
    assert [(page.index, page.label, page.text) for page in document.pages] == [
        (1, "1", "The rent is 900 euros."),
        (2, "2", "The deposit is 1800 euros."),
        (3, "3", "Pets are allowed."),
    ]
    assert (report.status, report.pages, report.pages_with_text) == ("ok", 3, 3)
    assert (report.warnings, report.remedy) == ((), None)
    assert document.id == document.sha256[:16]
    assert report.seconds > 0


def test_printed_labels_are_kept(read):
    document, _ = read(labelled(typeset("one", "two", "three", "four")))
    assert [page.label for page in document.pages] == ["iii", "iv", "A-3", "A-4"]
    assert [page.index for page in document.pages] == [1, 2, 3, 4]


def test_damaged_labels_fall_back_to_the_index(read):
    def damage(writer):
        labels = DictionaryObject({NameObject("/Nums"): ArrayObject([NumberObject(0)])})
        writer.root_object[NameObject("/PageLabels")] = labels

    for engine in ("pdfium", "pypdf"):
        document, report = read(rewritten(THREE, damage), options=ReadOptions(pdf=engine))
        assert [page.label for page in document.pages] == ["1", "2", "3"]
        assert report.status == "ok"
    assert report.warnings


@pytest.mark.parametrize("algorithm", ["AES-256", "AES-128", "RC4-128"])
def test_a_password_is_a_status_and_an_empty_one_is_none(read, algorithm):
    document, report = read(encrypted(THREE, "secret", algorithm))
    assert document is None
    assert report.status == "encrypted"
    assert "password" in report.remedy
    document, report = read(encrypted(THREE, "", algorithm))
    assert report.status == "ok"
    assert len(document.pages) == 3


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty"),
        (without_pages(), "empty"),
        (THREE.replace(b"/Kids", b"/Kidz"), "corrupt"),
        (THREE.replace(b"/Pages ", b"/Pagez "), "corrupt"),
        (b"%PDF-1.7\nnothing else", "corrupt"),
        (b"no pdf at all", "corrupt"),
        (scanned(), "no_text_layer"),
        (typeset(""), "empty"),
    ],
)
def test_a_file_without_text_has_a_status_and_a_remedy(read, data, status):
    document, report = read(data)
    assert document is None
    assert report.status == status
    assert report.remedy.endswith(".")
    assert "\n" not in "".join((report.remedy, *report.warnings))


@pytest.mark.parametrize("engine", ["pdfium", "pypdf"])
def test_blank_pages_do_no_harm_and_pictures_make_a_file_partial(read, engine):
    options = ReadOptions(pdf=engine)
    document, report = read(typeset("first", "", "", "fourth", ""), options=options)
    assert [page.index for page in document.pages] == [1, 4]
    assert (report.status, report.pages, report.pages_with_text) == ("ok", 5, 2)
    assert report.warnings == ("pages that are blank: 2-3, 5",)
    document, report = read(joined(typeset("first"), scanned(2)), options=options)
    assert (report.status, report.pages, report.pages_with_text) == ("partial", 3, 1)
    assert report.warnings == ("pages without text: 2-3",)


@pytest.mark.parametrize("error", [KeyError("/Kids"), RecursionError("deep"), MemoryError()])
def test_a_page_that_fails_costs_that_page_only(read, monkeypatch, error):
    extract = pypdf.PageObject.extract_text

    def fail_once(page, *args, **kwargs):
        if page.page_number == 1:
            raise error
        return extract(page, *args, **kwargs)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail_once)
    document, report = read(THREE, options=PYPDF)
    assert [page.index for page in document.pages] == [1, 3]
    assert report.status == "partial"
    assert report.warnings[0].startswith(f"page 2 could not be read: {type(error).__name__}")


def test_a_flood_of_failed_pages_hides_nothing_that_concerns_many(read, monkeypatch):
    extract = pypdf.PageObject.extract_text

    def fail_often(page, *args, **kwargs):
        if page.page_number > 2:
            logging.getLogger("pypdf").warning("odd page %d", page.page_number)
            raise ValueError(page.page_number)
        return extract(page, *args, **kwargs)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail_often)
    _, report = read(typeset("One.", "", *"abcdefghijklmnopqrstuvwxyz"), options=PYPDF)
    assert report.warnings[0] == "pages that are blank: 2"
    assert re.fullmatch(r"… and \d+ more messages", report.warnings[-1])
    assert len(report.warnings) == 21


def test_whatever_a_parser_raises_ends_as_corrupt(read, monkeypatch):
    def fail(*args, **kwargs):
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("pace_integrations.documents.formats.pdf.pypdf_engine.PdfReader", fail)
    document, report = read(THREE, options=PYPDF)
    assert (document, report.status) == (None, "corrupt")
    assert report.warnings == ("RecursionError: maximum recursion depth exceeded",)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([THREE, encrypted(THREE, ""), scanned()]))
def test_a_mutated_file_is_read_or_reported_and_never_raises(tmp_path_factory, seed, data):
    chance = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 30)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    path = tmp_path_factory.mktemp("mutated") / "file.pdf"
    path.write_bytes(damaged[: chance.randint(0, len(damaged))] if seed % 2 else damaged)
    document, report = read_file(path)
    assert (document is None) == (report.status not in {"ok", "partial"})
    assert (report.remedy is None) == (report.status == "ok")


@pytest.mark.parametrize("engine", ["pdfium", "pypdf"])
def test_limits_end_a_file_and_keep_what_was_read(read, engine):
    document, report = read(THREE, options=ReadOptions(ReadLimits(pages=2), engine))
    assert (report.status, report.pages) == ("partial", 3)
    assert [page.index for page in document.pages] == [1, 2]
    assert "over the limit" in report.warnings[0]
    assert read(THREE, options=ReadOptions(ReadLimits(seconds=1e-9), engine))[0] is None


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Annual report 2024", "Annual report 2024"),
        ("  Annual\n report ", "Annual report"),
        ("Vertrag über Räume", "Vertrag über Räume"),
        ("", None),
        ("untitled", None),
        ("Microsoft Word - contract.doc", None),
        ("contract_final.docx", None),
        ("10811.exe", None),
        ("Document1", None),
        ("(anonymous)", None),
        ("42", None),
        ("x" * 300, None),
    ],
)
def test_only_a_real_title_is_taken_from_the_metadata(title, expected):
    assert real_title(title) == expected


def test_the_title_is_the_real_one_or_the_name(read):
    assert read(typeset("text", title="Annual report"))[0].title == "Annual report"
    assert read(typeset("text", title="untitled"), "annual.pdf")[0].title == "annual.pdf"


def test_metadata_holds_what_the_file_says_of_itself(read):
    document, _ = read(rewritten(THREE, lambda w: w.add_metadata({"/Author": "A.\nKeller"})))
    assert document.metadata["author"] == "A. Keller"
    assert "subject" not in document.metadata


def test_messages_of_the_parser_go_to_the_report_and_not_to_the_screen(read, capfd, caplog):
    _, report = read(THREE.replace(b"startxref", b"startxxxx"), options=PYPDF)
    assert report.warnings
    assert len(set(report.warnings)) == len(report.warnings)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("pypdf").propagate
    assert logging.getLogger("pypdf").handlers == []


def test_messages_are_bounded_and_belong_to_their_thread(caplog):
    logger = logging.getLogger("pypdf._cmap")

    def other() -> None:
        logger.warning("of another thread")

    with captured_messages() as messages:
        for number in range(50):
            logger.warning("line %d\nof many", number // 2)
            logging.getLogger("fontTools.cffLib").error("line %d of many", number // 2)
        logger.info("not worth a line")
        logger.warning("broken %d", "format")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    lines = messages.lines()
    assert lines[:2] == ("line 0 of many", "line 1 of many")
    assert len(lines) == 21
    assert lines[-1].endswith("more messages")
    assert [record.message for record in caplog.records] == ["of another thread"]


def test_python_warnings_of_parsers_are_kept_and_others_pass():
    code = compile("import warnings; warnings.warn('old', DeprecationWarning)", "x.py", "exec")
    with warnings.catch_warnings(), captured_messages() as messages:
        warnings.filterwarnings("error", module="elsewhere")
        exec(code, {"__name__": "pypdf._reader"})
        with pytest.raises(DeprecationWarning):
            exec(code, {"__name__": "elsewhere"})
    assert messages.lines() == ("DeprecationWarning: old",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            exec(code, {"__name__": "pypdf._reader"})


def test_files_are_read_in_threads_without_mixing_their_messages(tmp_path):
    paths = []
    for number in range(6):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(THREE if number % 2 else THREE.replace(b"startxref", b"startxxxx"))
        paths.append(path)
    reports = [None] * len(paths)

    def work(number: int) -> None:
        reports[number] = read_file(paths[number], PYPDF)[1]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(report.warnings) for report in reports] == [True, False] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u00a0b\u2009c\t d", "a b c d"),
        ("e\u0301 mis\ufb01ts di\ufb00er", "é misfits differ"),
        ("m² and ½ stay", "m² and ½ stay"),
        ("soft\u00ad\nly and soft\u00adly", "softly and softly"),
        ("a\x00b\x07c\u200bd\ue001e\ufefff", "abcdef"),
        ("\U000e0049\U000e0067hidden", "hidden"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("one\r\ntwo\rthree\x0cfour", "one\ntwo\nthree\nfour"),
        ("one\n\n\n\ntwo\n", "one\n\ntwo"),
        ("\ud83d\ude00 and \ud83d", "😀 and \ufffd"),
    ],
)
def test_characters_are_cleaned(text, expected):
    assert clean_characters(text) == expected


def cleaned(*pages: str) -> list[str]:
    texts = [clean_characters(page) for page in pages]
    words = vocabulary(texts)
    return [clean_page(text, words) for text in texts]


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_cleaned_text_is_encodable_and_cleaning_never_raises(a, b):
    pages = cleaned(a, f"{a}-\n{b}")
    assert len(pages) == 2
    for page in pages:
        page.encode("utf-8")
        assert page == page.strip()
        assert not re.search("[\x00-\x08\x0b-\x1f]", page)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("a broken exam-\nple of words", "a broken example of words"),
        ("the self-\ncontained unit", "the self-contained unit"),
        ("a notice of 24-\nmonth length", "a notice of 24-month length"),
        ("the Anglo-\nSaxon law", "the Anglo-Saxon law"),
        ("a risk-based view, risk-\nbased again", "a risk-based view, risk-based again"),
        ("the river bank of the river-\nbank walk", "the river bank of the river-bank walk"),
        ("inter-\nnational. Next", "international.\nNext"),
    ],
)
def test_words_broken_over_lines_are_joined_and_compounds_keep_their_hyphen(page, expected):
    assert cleaned(page) == [expected]


def test_paragraphs_are_put_on_one_line_and_rows_and_headings_are_not():
    prose = "The tenant pays the rent on the third day of each month to the account of\n"
    prose += "Severn Bank, and the landlord confirms every payment by letter within\nten days."
    assert "\n" not in cleaned(prose)[0]
    table = "Country Population Capital\nAustria 8.9 Vienna\nBelgium 11.5 Brussels"
    assert cleaned(table) == [table]
    listed = "2. Deposit\nThe deposit is 900 euros.\n- due in March\n(a) in full\nEnd of list"
    assert cleaned(listed) == [listed]


def _font(**entries):
    descriptor = DictionaryObject({NameObject("/FontFile3"): NumberObject(1)})
    font = {"/Subtype": NameObject("/Type1"), "/FontDescriptor": descriptor}
    named = {NameObject(key): value for key, value in {**font, **entries}.items()}
    return DictionaryObject(named), descriptor


def _page(font, form=False):
    fonts = DictionaryObject({NameObject("/F1"): font})
    resources = DictionaryObject({NameObject("/Font"): fonts})
    page = DictionaryObject({NameObject("/Resources"): resources})
    if not form:
        return page
    page[NameObject("/Subtype")] = NameObject("/Form")
    forms = DictionaryObject({NameObject("/X"): page})
    resources[NameObject("/XObject")] = forms  # a form that draws itself must not loop
    return DictionaryObject({NameObject("/Resources"): resources})


@pytest.mark.parametrize("form", [False, True])
def test_a_named_encoding_wins_over_that_of_the_embedded_font(form):
    name = NameObject("/MacRomanEncoding")
    base = DictionaryObject({NameObject("/BaseEncoding"): name})
    bare = DictionaryObject({NameObject("/Differences"): ArrayObject()})
    for encoding, dropped in [(name, True), (base, True), (bare, False), (None, False)]:
        font, descriptor = _font(**({"/Encoding": encoding} if encoding is not None else {}))
        prefer_named_encodings(_page(font, form))
        assert ("/FontFile3" not in descriptor) == dropped
    font, descriptor = _font(**{"/Encoding": name, "/ToUnicode": name})
    prefer_named_encodings(_page(font, form))
    assert "/FontFile3" in descriptor
    prefer_named_encodings(DictionaryObject())


def test_helpers_make_what_they_say():
    assert PdfReader(BytesIO(encrypted(THREE, "secret"))).is_encrypted
