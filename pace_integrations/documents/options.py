"""Settings for reading files: limits, engines, passwords, selection of files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pace_integrations._checks import check_count, check_timeout, check_types
from pace_integrations.errors import ConfigError

Password: TypeAlias = str | Callable[[str], str | None]
"""A password for all files, or a function from a file's path to its password or None."""

PdfEngine = Literal["pdfium", "pypdf"]
_ENGINES = ("pdfium", "pypdf")
_LANGUAGES = re.compile(r"\w+(\+\w+)*")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Upper bounds on the cost of one file. What was read when a limit is met is kept.

    Attributes:
        pages: Pages read of one file; those before the limit are kept.
        seconds: Wall-clock seconds for one file. A parser that hangs is ended; what it has read
            by then is kept. OCR takes some seconds a page: give it more.
        memory: Bytes of memory that the process which parses a file may take, the file itself not
            counted. Systems without such limits (Windows) do not enforce it.
        expanded: Bytes that a file, or one stream of a PDF, may have uncompressed.
        size: Bytes of the file itself.
    """

    pages: int = 20_000
    seconds: float = 300.0
    memory: int = 320 * 2**20
    expanded: int = 256 * 2**20
    size: int = 512 * 2**20

    def __post_init__(self) -> None:
        for name in ("pages", "memory", "expanded", "size"):
            check_count(getattr(self, name), f"ReadLimits.{name}")
        check_timeout(self.seconds, "ReadLimits.seconds")
        if not self.seconds:
            raise ConfigError(f"ReadLimits.seconds must be above 0, not {self.seconds!r}")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Selects files and sets the way they are read.

    Attributes:
        limits: The most that one file may cost.
        pdf: Engine that reads PDF files first: ``"pdfium"``, or ``"pypdf"``, which is slower. The
            other one reads what the first cannot open, and pages whose text looks broken.
        password: Password of encrypted files, or a function from a file's path to its password.
            It is asked again, at most three times, while its answers are wrong; None gives up.
        workers: Processes that parse files side by side, each with its own limit of memory; None:
            one or two, as there is work for them. 0 parses in this process, where a parser that
            hangs or crashes takes the run along.
        ocr: Languages in which pages without text are recognized by Tesseract, such as
            ``"eng+deu"``; None: they are not. It needs the ``ocr`` extra and the program itself.
        include: Globs of the files to take from folders; empty: all. A pattern without a slash is
            matched with names, one with a slash with paths from the folder on.
        exclude: Globs of files and folders to pass over.
        hidden: Whether hidden files and folders are read.
        drop_duplicates: Whether documents and pages that came before are left out. The report
            tells of them either way.
    """

    limits: ReadLimits = field(default_factory=ReadLimits)
    pdf: PdfEngine = "pdfium"
    password: Password | None = None
    workers: int | None = None
    ocr: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    drop_duplicates: bool = False

    def __post_init__(self) -> None:
        if self.pdf not in _ENGINES:
            raise ConfigError(f"ReadOptions.pdf must be one of {_ENGINES}, not {self.pdf!r}")
        if self.ocr is not None and not _LANGUAGES.fullmatch(self.ocr):
            raise ConfigError(f"ReadOptions.ocr must be languages as 'eng+deu', not {self.ocr!r}")
        for name in ("include", "exclude"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(f"ReadOptions.{name} must be a tuple of patterns, not a string")
        if self.workers is not None:
            check_count(self.workers, "ReadOptions.workers", 0)
        check_types(self)
