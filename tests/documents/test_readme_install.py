"""What the README's own install brings reads every format that the guide lists, and highlights."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from samples import SAID, SAMPLES

from pace_integrations.documents.formats.registry import FORMATS

ROOT = Path(__file__).parents[2]
READ = """
import json, sys
from importlib.abc import MetaPathFinder
from pathlib import Path
hidden = set(json.loads(sys.argv[2]))
class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
from pace_integrations.documents import Evidence, highlight
from pace_integrations.documents.ingest import read_file
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    document, report = read_file(path)
    text = " ".join(page.text for page in document.pages) if document else str(report)
    found[path.name] = [report.status, text]
target = Path(sys.argv[1]) / "marked.pdf"
boxes = highlight(Path(sys.argv[1]) / "file.pdf", [Evidence(1, "at six")], target)
found["highlight"] = [len(boxes[0]), target.exists()]
print(json.dumps(found))
"""


def installed_by(extras: set[str]) -> set[str]:
    """Names of the distributions that the package with some extras needs, itself among them."""
    needed, waiting = set[tuple[str, str]](), [("pace-integrations", e) for e in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in needed:
            continue
        needed.add((name, extra))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another platform
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                key = canonicalize_name(requirement.name)
                waiting += [(key, e) for e in ("", *requirement.extras)]
    return {name for name, _ in needed}


def test_the_readme_install_reads_every_format_and_highlights(tmp_path: Path) -> None:
    command = next(
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if "pace ask" in line and "pip install" in line
    )
    found = re.search(r'"\.\[([\w,-]+)\]"', command)
    assert found is not None, command
    kept = installed_by(set(found[1].split(",")))
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in kept for owner in owners)
    ]
    assert {"docx", "reportlab"} <= set(hidden), "what only tests need is hidden"
    for row in FORMATS:
        data = SAMPLES[row.name]() if row.name in SAMPLES else row.example
        (tmp_path / f"file{row.suffixes[0]}").write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), json.dumps(hidden)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    read = json.loads(run.stdout.splitlines()[-1])
    boxes, written = read.pop("highlight")
    assert len(read) == len(FORMATS)
    assert {name: said for name, (_, said) in read.items() if SAID not in said} == {}
    assert (boxes, written) == (1, True)
