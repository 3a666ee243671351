"""Every error the library raises on purpose.

    PaceError
    ├── ModelPatchError (ValueError)         a model whose feed-forward blocks cannot be hooked
    ├── ModelLoadError (OSError)             a model that cannot be found or loaded
    ├── DocumentError (ValueError)           paths or documents that cannot be used
    ├── QuestionError (ValueError)           a question that cannot be asked
    ├── ContextOverflowError (ValueError)    more tokens than the model's context holds
    ├── SessionFileError (ValueError)        a saved session that is damaged or foreign
    ├── IncompatibleSessionError (ValueError)  a saved session of another model or configuration
    ├── LibraryFileError (ValueError)        a library's folder that is damaged or foreign
    ├── ConfigError (ValueError)             a setting outside its range
    ├── NumericalError (ArithmeticError)     a model that computes no finite numbers
    ├── DeadlineExceededError (TimeoutError)  an answer that took longer than it was given
    └── MissingExtraError (ImportError)      an optional dependency that is not installed

Each message says what is wrong, where, and what to do next.
"""

from __future__ import annotations


class PaceError(Exception):
    """Root of every error this library raises on purpose. All of them can be pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with `args`, which its own arguments need not be.
        return _restore_error, (type(self), self.args, self.__dict__)


def _restore_error(
    kind: type[PaceError], args: tuple[object, ...], fields: dict[str, object]
) -> PaceError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class ModelPatchError(PaceError, ValueError):
    """The model has no feed-forward block that the memory can be attached to."""


class ModelLoadError(PaceError, OSError):
    """The model or its tokenizer cannot be found or loaded."""


class DocumentError(PaceError, ValueError):
    """A path, a folder or a corpus cannot be used as it is."""


class QuestionError(PaceError, ValueError):
    """A question is empty or malformed."""


class ConfigError(PaceError, ValueError):
    """A setting is outside its range."""


class NumericalError(PaceError, ArithmeticError):
    """A model computes values that are no finite numbers."""


class SessionFileError(PaceError, ValueError):
    """A saved session is damaged, incomplete or of a foreign format."""


class IncompatibleSessionError(PaceError, ValueError):
    """A saved session belongs to another model or configuration."""


class LibraryFileError(PaceError, ValueError):
    """The folder of a library is damaged, of a foreign format, or cannot be written."""


class ContextOverflowError(PaceError, ValueError):
    """More tokens are asked for than the model's context holds.

    Attributes:
        needed: Tokens that the request needs.
        limit: Tokens that the model's context holds.
    """

    def __init__(self, message: str, *, needed: int, limit: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.limit = limit


class MissingExtraError(PaceError, ImportError):
    """An optional dependency is needed and not installed.

    Attributes:
        extra: Name of the extra that installs it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the optional dependency group {extra!r}, which is not installed; "
            f"run: pip install 'pace-integrations[{extra}]'"
        )
        self.extra = extra


class DeadlineExceededError(PaceError, TimeoutError):
    """An answer was not complete within the time it was given."""
