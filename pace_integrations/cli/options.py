"""Options as groups: a dataclass names each option once, with its type, default and help.

A command takes whole groups as parameters; `expand_groups` shows Typer their fields instead. The
name of a field is the name of the setting that it stands for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from pace_integrations.cli.arguments import parse_path
from pace_integrations.cli.completion import complete_documents, complete_models
from pace_integrations.config import (
    GenerationConfig,
    KvDtype,
    MemoryConfig,
    Overflow,
    Quantization,
    ReadConfig,
    Rule,
)
from pace_integrations.documents.options import PdfEngine, ReadLimits, ReadOptions

if TYPE_CHECKING:
    from pace_integrations.documents import Corpus

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Files, folders or globs.",
        parser=parse_path,
        autocompletion=complete_documents,
    ),
]
Asked = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH|QUESTION",
        help="Files, folders, globs or a library; then the question, or - for standard input.",
        autocompletion=complete_documents,
    ),
]
Questions = Annotated[
    list[str] | None,
    typer.Option("--question", "-q", help="A question; repeat it to ask several."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_FILES, _ANSWER, CHUNK = ReadOptions(), GenerationConfig(), ReadConfig().chunk
Chunk = Annotated[int, typer.Option(help="Tokens per prefill step; it bounds memory.")]


Model = Annotated[
    str | None,
    typer.Option(
        help="Name or path of a model; default: see pace models.", autocompletion=complete_models
    ),
]
Quantized = Annotated[Quantization | None, typer.Option(help="Quantize the model.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, auto; default: the best.")]
Beyond = Annotated[
    Overflow,
    typer.Option(
        help="Beyond the context: refuse, stretch the positions, slide a window over it, or read "
        "with AHN."
    ),
]
Held = Annotated[int | None, typer.Option(help="Most tokens held; default: the model's.")]
Networks = Annotated[
    str | None, typer.Option(help="Name or path of trained networks, for --overflow ahn.")
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, and in which precision: arguments of `Pace.load`."""

    model: Model = None
    quantization: Quantized = None
    dtype: Dtype = "auto"
    device: Device = None
    adapter: Annotated[
        str | None, typer.Option(help="Name or path of a PEFT adapter, merged at load.")
    ] = None
    revision: Annotated[
        str | None, typer.Option(help="Commit, branch or tag of the model on the Hub.")
    ] = None


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """How much the model holds: arguments of `Pace.load`."""

    overflow: Beyond = "error"
    context: Held = None
    kv: Annotated[KvDtype, typer.Option(help="KV cache precision: the model's dtype, or int8.")] = (
        "full"
    )
    ahn: Networks = None


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Whether the activation memory is on: an argument of `Pace.load`."""

    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory", help="The activation memory, which makes reading slower."
        ),
    ] = False

    def make_config(self) -> MemoryConfig | None:
        """Return the memory's settings, or None where it is off."""
        return MemoryConfig() if self.memory else None


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """The memory's rule: a field of `MemoryConfig`."""

    rule: Annotated[Rule | None, typer.Option(help="How the memory mixes and stores.")] = None

    def make_config(self) -> MemoryConfig:
        """Return the memory's settings."""
        return MemoryConfig(rule=self.rule) if self.rule else MemoryConfig()


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How answers are written: fields of `GenerationConfig`."""

    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = (
        _ANSWER.max_new_tokens
    )
    temperature: Annotated[
        float, typer.Option(help="0 is greedy; above it, answers are sampled.")
    ] = _ANSWER.temperature
    top_p: Annotated[float, typer.Option(help="Probability mass that is sampled from.")] = (
        _ANSWER.top_p
    )
    top_k: Annotated[int, typer.Option(help="Most tokens sampled from; 0: all.")] = _ANSWER.top_k
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling.")] = None
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends an answer; repeat it.")] = (
        None
    )

    def make_config(self) -> GenerationConfig:
        """Return the settings of an answer.

        Raises:
            ConfigError: One is outside its range.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return GenerationConfig(**{**values, "stop": tuple(self.stop or ())})


OnUnsupported = Literal["show", "refuse"]
Unsupported = Annotated[
    OnUnsupported,
    typer.Option(
        "--on-unsupported",
        help="Answers that the pages do not support: shown and marked, or refused.",
    ),
]


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a corpus is read: fields of `ReadConfig`, and whether the session is kept."""

    chunk: Chunk = CHUNK
    store: Annotated[
        bool | None,
        typer.Option(
            "--store/--no-store",
            help="Cache the session on disk and reuse it; default: unless a password was needed.",
        ),
    ] = None

    def make_config(self) -> ReadConfig:
        """Return the settings of the reading.

        Raises:
            ConfigError: One is outside its range.
        """
        return ReadConfig(chunk=self.chunk)

    def may_store(self, corpus: Corpus | None) -> bool:
        """Return True if something may be kept: as was said, else unless a password was needed."""
        if self.store is not None:
            return self.store
        return corpus is None or not any(file.encrypted for file in corpus.report.files)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are opened: fields of `ReadOptions` and `ReadLimits`."""

    password: Annotated[
        str | None, typer.Option(envvar="PACE_PASSWORD", help="Password of encrypted files.")
    ] = None
    ocr: Annotated[
        str | None,
        typer.Option(help="Recognize scanned pages with Tesseract, in languages such as eng+deu."),
    ] = None
    pdf: Annotated[PdfEngine, typer.Option(help="Parser of PDF files.")] = _FILES.pdf
    include: Annotated[
        list[str] | None, typer.Option(help="Glob of files to take from folders; repeat it.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(help="Glob of files and folders to skip; repeat it.")
    ] = None
    hidden: Annotated[bool, typer.Option("--hidden", help="Take hidden files too.")] = False
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Skip duplicate files and pages.")
    ] = False
    time_limit: Annotated[
        float, typer.Option(help="Most seconds for one file; OCR needs more.")
    ] = _FILES.limits.seconds
    memory_limit: Annotated[
        float, typer.Option(help="Most MiB of memory that reading one file may take.")
    ] = _FILES.limits.memory / 2**20

    def make_options(self) -> ReadOptions:
        """Return the options of the reading.

        Raises:
            ConfigError: One is outside its range.
        """
        return ReadOptions(
            limits=ReadLimits(seconds=self.time_limit, memory=int(self.memory_limit * 2**20)),
            pdf=self.pdf,
            password=self.password,
            ocr=self.ocr,
            include=tuple(self.include or ()),
            exclude=tuple(self.exclude or ()),
            hidden=self.hidden,
            drop_duplicates=self.drop_duplicates,
        )


GROUPS = (
    ModelOptions,
    ContextOptions,
    MemoryOptions,
    RuleOptions,
    AnswerOptions,
    ReadingOptions,
    FileOptions,
)


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the fields of its groups, dataclasses, as options of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups = {n: k for n, k in hints.items() if isinstance(k, type) and is_dataclass(k)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _list_parameters(groups[name])
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=kind))

    def run(**values: Any) -> None:  # noqa: ANN401 - what Typer has parsed
        for name, group in groups.items():
            own = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**own)
        command(**values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _list_parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
