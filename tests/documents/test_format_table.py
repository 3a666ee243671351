"""The table of formats: every row is complete, and nothing else in the package knows a format."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import SAID, SAMPLES

import pace_integrations.documents
from pace_integrations.documents import ReadOptions
from pace_integrations.documents.formats import registry
from pace_integrations.documents.formats.registry import FORMATS, Format, ParseJob
from pace_integrations.documents.formats.sniffing import detect_format
from pace_integrations.documents.ingest import read_file
from recipes.list_formats import GUIDE, SECTIONS, add_sections, format_table

HOME = Path(pace_integrations.documents.__file__).parent
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in HOME.rglob("*.py")}
NAMES = [row.name for row in FORMATS]


def sample_of(row: Format) -> bytes:
    return SAMPLES[row.name]() if row.name in SAMPLES else row.example


def test_every_parser_module_has_a_row_and_every_row_a_module() -> None:
    named = {
        HOME / "formats" / f"{row.parser.split(':')[0].replace('.', '/')}.py" for row in FORMATS
    }
    parsers = {
        path
        for path, tree in MODULES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("parse_")
        and [arg.arg for arg in node.args.args] == ["data", "job"]
    }
    assert parsers == named, f"no row, or no parser: {sorted(map(str, parsers ^ named))}"


@pytest.mark.parametrize("row", FORMATS, ids=NAMES)
def test_every_row_is_read_described_and_recognized(row: Format, tmp_path: Path) -> None:
    data = sample_of(row)
    assert data, f"{row.name}: give its row an example, or write one in tests/helpers/samples.py"
    assert row.reads, f"{row.name}: say in its row what is read of it"
    assert row.suffixes, f"{row.name}: name its suffixes"
    for suffix in row.suffixes:
        path = tmp_path / (f"file{suffix}" if suffix.startswith(".") else suffix)
        path.write_bytes(data)
        document, report = read_file(path)
        assert report.status in {"ok", "partial"}, (suffix, report)
        assert document is not None
        assert SAID in " ".join(page.text for page in document.pages)
        assert document.pages[0].index == 1


@pytest.mark.parametrize("row", [row for row in FORMATS if row.isolated], ids=lambda row: row.name)
def test_formats_are_told_by_what_they_hold(row: Format) -> None:
    data = sample_of(row)
    if row.magic or row.member or row.pattern:
        assert detect_format(data[:4096], "unnamed", data) is row
    assert detect_format(b"PK\x03\x04", f"a{row.suffixes[0]}", b"") is row


def test_the_guide_has_a_section_for_every_format() -> None:
    text = SECTIONS.read_text(encoding="utf-8")
    told = f"{SECTIONS} lacks a format, or its order; run `python -m recipes.list_formats`"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == NAMES, told
    assert add_sections(text) == text
    assert text.count("**Read:**") == text.count("**Named:**") == len(NAMES)


def constants_of(tree: ast.Module) -> Iterator[str]:
    """Every string of a module that is no docstring; of an f-string what stands first."""
    silent = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent.update(map(id, node.values[1:]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from () if id(node) in silent else (node.value,)


def counted_kinds(node: ast.expr, tree: ast.Module) -> set[str]:
    """The kinds that an index of a report's counter may be."""
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return counted_kinds(node.body, tree) | counted_kinds(node.orelse, tree)
    if isinstance(node, ast.JoinedStr):
        return {node.values[0].value.partition(" (")[0]}
    assert isinstance(node, ast.Subscript), f"write the kind out: {ast.unparse(node)}"
    (table,) = (
        n.value
        for n in tree.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == ast.unparse(node.value)
    )
    return set(ast.literal_eval(table).values())


def report_kinds(tree: ast.Module) -> tuple[set[str], set[str]]:
    """What a module puts into reports: kinds that were not read, kinds that were."""
    found: dict[str, set[str]] = {"left_out": set(), "read_too": set()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            name = ast.unparse(node.value).rsplit(".", 1)[-1]
            if name in found:
                found[name] |= counted_kinds(node.slice, tree)
    for text in constants_of(tree):
        told = re.fullmatch(r"(.+?)(?:, | were )(not )?read(?: after the text)?(?:: )?", text)
        if told is not None:
            found["left_out" if told[2] else "read_too"].add(told[1])
    return found["left_out"], found["read_too"]


def modules_of(row: Format) -> set[Path]:
    """The modules that the parser of a format stands on."""
    todo = [HOME / "formats" / f"{row.parser.split(':')[0].replace('.', '/')}.py"]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in MODULES and path not in found:
            found.add(path)
            names = (name.split(".")[2:] for name in own_imports(MODULES[path]))
            todo += [HOME.joinpath(*parts).with_suffix(".py") for parts in names]
    return {path for path in found if path.name != "registry.py"}


def test_whatever_a_report_may_name_is_named_by_its_row_and_in_the_guide() -> None:
    text = SECTIONS.read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"(?m)^## ", text)}
    beside = {"pages without text", "a guessed encoding"}  # told in other words
    for row in FORMATS:
        kinds = [report_kinds(MODULES[path]) for path in modules_of(row)]
        for words, number in ((row.names_only, 0), (row.names_too, 1)):
            told = words.split(", ") if words else []
            found = set().union(*(pair[number] for pair in kinds))
            assert set(told) - beside == found, f"{row.name}: its row is not what its parser names"
            flat = " ".join(sections[row.name].split())
            missing = [kind for kind in told if kind not in flat]
            assert not missing, f"{row.name}: say in its section of {SECTIONS.name}: {missing}"


def test_the_guide_has_a_row_for_every_format() -> None:
    told = f"{GUIDE} is not what `python -m recipes.list_formats` writes; run it"
    assert format_table() in GUIDE.read_text(encoding="utf-8"), told


def test_no_suffix_has_two_rows() -> None:
    suffixes = [suffix for row in FORMATS for suffix in row.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_a_toy_format_takes_one_module_and_one_row(tmp_path, monkeypatch) -> None:
    """What CONTRIBUTING promises, tried: a module with a parser, and a row."""

    def parse_toy(data: bytes, job: ParseJob):
        from pace_integrations.documents import Page, ParseResult

        job.emit(Page(1, None, data.decode().removeprefix("TOY").strip()))
        return ParseResult("ok", 1)

    module = types.ModuleType("toy")
    module.parse_toy = parse_toy
    monkeypatch.setitem(__import__("sys").modules, f"{registry.__package__}.toy", module)
    row = Format("toy", (".toy",), "toy:parse_toy", "all of it", magic=(b"TOY",), isolated=False)
    for place in ("registry", "sniffing"):
        monkeypatch.setattr(f"{registry.__package__}.{place}.FORMATS", (row, *FORMATS))
    (tmp_path / "a").write_bytes(b"TOY The ferry leaves at six.")
    document, report = read_file(tmp_path / "a", ReadOptions())
    assert (report.status, document.pages[0].text) == ("ok", "The ferry leaves at six.")
    assert "| toy |" in format_table()
    assert "## toy\n\n- **Read:** all of it." in add_sections("# Formats\n")


def own_imports(tree: ast.Module) -> set[str]:
    prefix = "pace_integrations.documents."
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if (node.module or "").startswith(prefix)}


def test_the_package_stands_on_few_floors() -> None:
    """Modules on the longest way of imports, within functions or not, per room (sub-package)."""
    rooms: dict[str, set[str]] = {}
    for path, tree in MODULES.items():
        room = path.relative_to(HOME).parts[0].removesuffix(".py")
        others = {name.split(".")[2] for name in own_imports(tree)}
        rooms.setdefault(room, set()).update(others - {room})

    def floor(room: str, above: tuple[str, ...] = ()) -> int:
        assert room not in above, f"a circle: {(*above, room)}"
        return 1 + max((floor(other, (*above, room)) for other in rooms[room]), default=0)

    assert max(map(floor, rooms)) <= 7


def test_no_module_but_the_table_knows_two_formats() -> None:
    parsers = {row.parser.split(":")[0].split(".")[0] for row in FORMATS}
    shared = {"text", "html", "html_walk", "csv_table"}  # what others are made of: HTML in mails
    for path, tree in MODULES.items():
        modules = {re.sub(r".*\.formats\.", "", name) for name in own_imports(tree)}
        known = {name.split(".")[0] for name in modules} & parsers - shared
        own = path.relative_to(HOME / "formats").parts[0] if "formats" in path.parts else ""
        known -= {own.removesuffix(".py")}
        # The rectangles of quotes and OCR are asked for by the name of the format.
        assert known <= ({"pdf"} if path.name in {"child.py", "ingest.py"} else set()), (
            path,
            known,
        )
