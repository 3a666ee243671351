"""What Transformers raises while it loads a model, as errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pace_integrations.errors import ConfigError, MissingExtraError, ModelLoadError
from pace_integrations.model.model_files import ModelFiles


@contextmanager
def translate_errors(files: ModelFiles) -> Iterator[None]:
    """Turn whatever Transformers raises inside into a `ModelLoadError` that says what to do."""
    try:
        yield
    except (ConfigError, MissingExtraError):
        raise
    except ImportError as error:
        reason = _first_line(error)
        raise ModelLoadError(f"model {files.name!r} needs a package: {reason}") from error
    except Exception as error:
        # from_pretrained raises a dozen kinds (OSError, ValueError, safetensors' own, ...).
        raise ModelLoadError(_explain_failure(files.name, files.path, error)) from error


def _explain_failure(name: str, path: str, error: Exception) -> str:
    if not Path(path).exists():
        return (
            f"no model {name!r}: it is neither a local folder nor a model that the Hugging Face "
            "Hub or its local cache gives; check the name and the network, or leave it out for "
            "the embedded model"
        )
    return (
        f"cannot load the model in {name!r}: {_first_line(error)}; it must be a folder with "
        "config.json, weights and tokenizer of a causal language model"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
