"""What is installed answers a question by itself: sdist, wheel and a fresh environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import pace_integrations

ROOT = Path(__file__).parent.parent
OPTIONAL = [
    *("langchain_core", "llama_index", "bitsandbytes", "k_means_constrained", "scipy", "sklearn"),
    *("matplotlib", "rouge", "rouge_score", "jieba"),
    *("pytesseract", "PIL", "docx"),
]


def call(*command: object, **options: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_its_model_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pace_integrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # The names under which the frameworks look for integrations are modules of the package.
    shims = {
        "pace_integrations/langchain/shim.py": "langchain_pace/__init__.py",
        "pace_integrations/llama_index/shim.py": "llama_index/llms/pace/__init__.py",
    }
    held = {shims.get(name, name) for name in here}
    assert {name for name in names if ".dist-info/" not in name} == held
    assert "pace_integrations/model/nano/model.safetensors" in names
    assert "pace_integrations/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 60e6


def test_the_frameworks_names_import_what_the_package_has(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        named = ("langchain_pace/", "llama_index/")
        archive.extractall(tmp_path, [n for n in archive.namelist() if n.startswith(named)])
    code = (
        "import sys; sys.path.insert(0, '.'); from langchain_pace import ChatPace; "
        "from llama_index.llms.pace import PaceLLM; from llama_index.core.llms import LLM; "
        "print(ChatPace.__module__, PaceLLM.__module__, issubclass(PaceLLM, LLM))"
    )
    said = call(sys.executable, "-c", code, cwd=tmp_path).split()
    homes = ["pace_integrations.langchain.chat_models", "pace_integrations.llama_index.llm"]
    assert said == [*homes, "True"]


def test_the_description_on_the_package_index_has_no_relative_link(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        _, description = archive.read(name).decode().split("\n\n", 1)
    assert "# pace-integrations" in description
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", description) == []


def test_the_sdist_holds_the_tests_and_no_training(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/test_package.py", "recipes/README.md", "CHANGELOG.md", "LICENSE"} <= names
    assert not any(name.startswith((".train", ".venv", ".git/")) for name in names)
    assert path.stat().st_size < 60e6


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone; its dependencies are those installed here.

    What extras other than `cli` bring is hidden.
    """
    folder = tmp_path_factory.mktemp("fresh") / "env"
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install"]
    call(*pip, "-q", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched last, and the .pth files found there are not read: the
    # checkout, which is installed here as it stands, is out of sight.
    hidden = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL}))"
    paths = f"{sysconfig.get_path('purelib')}\n{hidden}\n"
    (site / "dependencies.pth").write_text(paths, encoding="utf-8")
    return folder


def test_the_wheel_alone_answers_with_a_page(fresh: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/documents/rental-contract.pdf", tmp_path / "contract.pdf")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    alone = {"cwd": tmp_path, "env": {**kept, "PACE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}}
    code = "import pace_integrations as p; print(p.__file__, p.__version__)"
    file, version = call(fresh / "bin/python", "-c", code, **alone).split()
    assert Path(file).is_relative_to(fresh)
    assert version == pace_integrations.__version__
    question = ["-q", "When does the tenancy begin?", "--json"]
    answer = json.loads(call(fresh / "bin/pace", "ask", "contract.pdf", *question, **alone))
    assert "1 April 2025" in answer["text"]
    assert [c["page"] for c in answer["citations"]] == [1]
