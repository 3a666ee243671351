"""The field's language: how names read, and the words that the glossary keeps out."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs/pages/glossary.md"


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


measure = load_script("measure_names")


def test_names_and_docstrings_stay_within_the_limits() -> None:
    assert measure.measure_names(measure.PACKAGE).list_failures() == []


def test_the_measure_sees_each_fault(tmp_path: Path) -> None:
    code = """
def load(): "Load it."
def held_cache(): "Return it."
def read_page(): "Whether it was read."
def read_file(): "Read it."
"""
    (tmp_path / "module.py").write_text(code, encoding="utf-8")
    found = measure.measure_names(tmp_path).found
    assert [len(found[kind]) for kind in ("one_word", "participle", "question_docstring")] == [
        1
    ] * 3


def list_banned_words() -> list[str]:
    """Return the words in backticks in the last column of the glossary's tables."""
    rows = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[-2])]


def list_texts() -> list[Path]:
    texts = [*(ROOT / "pace_integrations").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    own = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return sorted({*texts, *own, *(ROOT / "pace_integrations").rglob("*.md")} - {GLOSSARY})


BANNED = list_banned_words()


def find_banned_words(text: str) -> list[str]:
    # A stem (`normalis`) bans every word that begins with it, a word (`face`) only itself.
    stems = [word for word in BANNED if word.endswith("is")]
    words = [word for word in BANNED if word not in stems]
    found = re.findall(rf"(?i)\b(?:{'|'.join(stems)})[ei]\w*", text)
    return found + re.findall(rf"(?i)(?<![\w-])(?<!Hugging )(?:{'|'.join(words)})(?![\w-])", text)


def test_the_glossary_bans_words() -> None:
    assert {"face", "quantis", "licence"} <= set(BANNED)
    assert find_banned_words("both faces; Quantised; a licence") == [
        "Quantised",
        "faces",
        "licence",
    ]
    assert find_banned_words("an interface, a surface, typeface normalizing") == []


@pytest.mark.parametrize("path", list_texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_banned_words_do_not_occur(path: Path) -> None:
    assert find_banned_words(path.read_text(encoding="utf-8")) == []
