#!/usr/bin/env python3
"""Measure how the names and docstrings of the package read: measure_names.py [--list] [--check].

Counts functions and methods (dunder methods left out) whose name is one word, names that open with
a participle (`held`, `framed`), and docstrings that open with a question word. `--list` prints the
names, `--check` exits with 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "pace_integrations"
QUESTION_WORDS = frozenset({"what", "whether", "how", "where", "which", "who", "why"})
# Irregular participles; `read`, `set`, `put` and `left` are verbs or adjectives as well.
PARTICIPLES = frozenset(
    {"asked", "drawn", "found", "given", "held", "kept", "known", "laid", "made", "named"}
    | {"said", "seen", "shown", "taken", "told", "written"}
)
REGULAR_VERBS = frozenset({"embed", "need", "seed", "feed"})
LIMITS = {"one_word": 0.40, "participle": 0.02, "question_docstring": 0.0}


@dataclass
class NameReport:
    """Names of a tree by what is the matter with them, each as ``path:line name``."""

    total: int = 0
    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in LIMITS})

    def share(self, kind: str) -> float:
        """Return the share of functions that have a fault of this kind."""
        return len(self.found[kind]) / max(1, self.total)

    def list_failures(self) -> list[str]:
        """Return a line for every limit that is passed."""
        return [
            f"{kind}: {self.share(kind):.1%} of {self.total} functions, at most {limit:.0%}"
            for kind, limit in LIMITS.items()
            if self.share(kind) > limit
        ]


def iter_functions(root: Path) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function and method below a folder, dunder methods left out."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if is_function and not node.name.startswith("__"):
                yield path, node


def opens_with_participle(word: str) -> bool:
    """Return whether a name's first word is a participle."""
    return word in PARTICIPLES or (word.endswith("ed") and word not in REGULAR_VERBS)


def measure_names(root: Path) -> NameReport:
    """Measure the functions of all Python files below `root`."""
    report = NameReport()
    for path, node in iter_functions(root):
        report.total += 1
        words = node.name.strip("_").split("_")
        opening = (ast.get_docstring(node) or "-").split()[0].strip(",.:").lower()
        place = f"{path.relative_to(root)}:{node.lineno} {node.name}"
        faults = {
            "one_word": len(words) == 1,
            "participle": opens_with_participle(words[0]),
            "question_docstring": opening in QUESTION_WORDS,
        }
        for kind in (kind for kind, holds in faults.items() if holds):
            report.found[kind].append(place)
    return report


def main() -> int:
    """Print the report; return 1 where `--check` finds a limit passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=PACKAGE)
    parser.add_argument("--list", action="store_true", help="print every name, by fault")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a limit is passed")
    options = parser.parse_args()
    report = measure_names(options.root)
    for kind, places in report.found.items():
        print(f"{kind}: {len(places)} of {report.total} ({report.share(kind):.1%})")
        if options.list:
            print(*places, sep="\n")
    failures = report.list_failures()
    if options.check and failures:
        print(*failures, sep="\n", file=sys.stderr)
    return int(options.check and bool(failures))


if __name__ == "__main__":
    sys.exit(main())
