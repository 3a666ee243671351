"""Fixtures: tiny random models with a byte tokenizer, built in code, and no network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import of the Hub's client, which reads it once

from pace_integrations import Corpus, MemoryConfig, Pace, Session
from pace_integrations.model.registry import MODELS

SMALL = MODELS["pace-small"]
SMALL_WEIGHTS = SMALL.checkpoint  # the user's, before the tests have a home of their own
TESTED = Path(__file__).parents[1] / "constraints/tested.txt"


def has_tested_versions() -> bool:
    """Whether everything installed that `constraints/tested.txt` names has the version it names."""
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", TESTED.read_text("utf-8"), re.M):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed != version:
            return False
    return True


def pytest_configure(config: pytest.Config) -> None:
    """Make other packages' warnings errors too, where they were seen to give none.

    Warnings that this package raises or causes are errors everywhere (pyproject.toml); what other
    packages say in other versions than the tested ones is theirs to mend.
    """
    config.addinivalue_line("markers", "small_model: needs the weights of pace-small")
    config.addinivalue_line(
        "markers", "local_folder(why): holds for folders of this machine, and not for shared stores"
    )
    if has_tested_versions():
        config.addinivalue_line("filterwarnings", "error")
        for known in KNOWN_WARNINGS:
            config.addinivalue_line("filterwarnings", known)


KNOWN_WARNINGS = [
    # SWIG-built C extensions (a dependency of pypdf's neighbors) on Python 3.12 and later.
    "ignore:builtin type .* has no __module__ attribute:DeprecationWarning",
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning",  # peft 0.21
    "ignore::pydantic.warnings.PydanticDeprecationWarning",  # pydantic 2.14 about llama-index-core
]


@pytest.fixture(scope="session", autouse=True)
def _quiet_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the tests nor the processes they start see the user's sessions and models."""
    os.environ["PACE_HOME"] = str(tmp_path_factory.mktemp("home"))
    # Where no model is named: not whatever may be installed or cached on this machine.
    os.environ["PACE_MODEL"] = "pace-nano"


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a tiny random Qwen3 with a byte tokenizer."""
    from checkpoints import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[Pace]:
    """The model inside the package."""
    with Pace.load("pace-nano") as loaded:
        yield loaded


@pytest.fixture(scope="session")
def small_model(_own_store: None) -> str:
    """The name of pace-small, whose weights the user has fetched; tests that need it are marked."""
    if SMALL.adapter is None or not (SMALL.adapter / "adapter_config.json").is_file():
        pytest.skip("the adapter of pace-small is not in this checkout")
    if not (SMALL_WEIGHTS / "config.json").is_file():
        pytest.skip("the weights of pace-small are not here: run pace models get small")
    SMALL.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    SMALL.checkpoint.symlink_to(SMALL_WEIGHTS)
    return SMALL.name


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the repository's root to run in; what is made there is gone afterwards."""
    (tmp_path / "examples").symlink_to(Path(__file__).parent.parent / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def pace(tiny_path: Path) -> Iterator[Pace]:
    """The tiny model with a memory whose steps are short enough to matter."""
    with Pace.load(tiny_path, memory=MemoryConfig(step=32, slots=16, layers=(0, 2))) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus.from_texts(
        {
            "Garden": "The oak stands near the pond. " * 6 + "The gate opens at 7:30.",
            "Kitchen": "Bread is baked on Mondays. " * 6 + "The oven is a Marlow 200.",
            "Attic": "Two trunks hold letters. " * 6 + "The key hangs by the door.",
        }
    )


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one PDF of two pages."""
    from house import PAGES
    from pdfs import typeset

    folder = tmp_path_factory.mktemp("papers")
    (folder / "house.pdf").write_bytes(typeset(*PAGES))
    return folder


@pytest.fixture(scope="session")
def house_session(pace: Pace, house: Path) -> Session:
    return pace.read(Corpus.from_paths(house))
