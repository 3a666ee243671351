"""Documents parsed and read by actors on many machines, into one library.

Pages are read independently of each other: the states do not depend on which process reads them, or
in which order. What is kept on the way is what a library keeps, so an interrupted reading goes on.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tqdm.auto import tqdm

from pace_integrations.documents import Corpus, NothingReadError, ReadOptions, Report
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.errors import ConfigError
from pace_integrations.library.place import find_place
from pace_integrations.ray.cluster import ActorTeam, import_ray
from pace_integrations.session.read_job import Progress
from pace_integrations.store.shared_folder import is_url

# By hand, and not with Ray Data: its actors belong to one dataset, so a model is loaded anew for
# each of parsing, listing and reading, where a team here keeps its models for all three; it tries a
# page that kills its actor again without end, unless told; and it needs pandas and pyarrow beside
# Ray. On two busy cores a team had read 640 pages of a tiny model in 72 s, files and all; with Ray
# Data the first of the same pages came after 133 s. There one actor was killed: all 640 pages were
# processed, and only 624 counted as read. A team was not measured with a kill; a test has one.
_PARSED = 8  # files that an actor parses at a time
_KEPT = 128  # files after which the list of documents is written
_PAGES = 16  # fewest pages that an actor reads at a time
_TURNS = 64  # about how often an actor looks at what the others have read
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """What actors have read into a library.

    Attributes:
        added: Titles of documents that came.
        replaced: Titles of documents of which there is a new version.
        unchanged: Files that were not opened, since they are as they were.
        pages: Pages that were read now.
        tokens: Tokens that were read now.
        shares: Pages that each actor has read, by its process.
        report: What became of every file that was looked into.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: int = 0
    pages: int = 0
    tokens: int = 0
    shares: Mapping[str, int] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


class PageReader:
    """An actor: parses files, and reads pages with a model of its own.

    Args:
        place: The library.
        load: Arguments of `Pace.load`.
        settings: Fields of `LibraryConfig`.
        threads: Threads that it computes with.
    """

    def __init__(
        self, place: str, load: Mapping[str, Any], settings: Mapping[str, Any], threads: int
    ) -> None:
        self._place = place
        self._load = load
        self._settings = settings
        self._threads = threads

    def open(self) -> None:
        """Load the model and open the library; send what an ended actor of this machine left."""
        import torch  # in the actor alone

        from pace_integrations.library import Library
        from pace_integrations.session import Pace

        torch.set_num_threads(self._threads)
        self._library = Library.open(self._place, Pace.load(**self._load), **self._settings)
        self._library.read_pages(())

    def parse(self, paths: Sequence[str], options: ReadOptions) -> Corpus:
        """Return the documents of files; what could not be read is in the report."""
        try:
            return Corpus.from_paths([*paths], options=options)
        except NothingReadError as error:
            return Corpus((), error.report)

    def put(self, corpus: Corpus) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Put documents into the library without reading them; return those added and replaced."""
        change = self._library.replace(corpus, read=False)
        return change.added, change.replaced

    def list_unread(self) -> tuple[int, ...]:
        """Return the numbers of pages that nobody has read."""
        return self._library.unread_pages()

    def read(self, numbers: Sequence[int]) -> tuple[str, int, int]:
        """Read those of some pages that nobody has read; return who did, how many, and tokens."""
        unread = self._library.unread_pages(numbers)
        tokens = self._library.read_pages(unread)
        return f"{platform.node()}:{os.getpid()}", len(unread), tokens


def read(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    library: str | os.PathLike[str],
    *,
    actors: int = 2,
    cpus: int = 1,
    gpus: float = 0,
    options: ReadOptions | None = None,
    progress: bool | Progress = False,
    settings: Mapping[str, Any] | None = None,
    **load: Any,  # noqa: ANN401 - arguments of Pace.load
) -> ClusterReading:
    """Read files into a library with actors of a Ray cluster.

    Files whose size and time are as they were when they were read are not opened, and pages that
    were read, by whomever, are not read again: after an interruption the same call goes on. Where
    the actors are on several machines, files and library must be where all of them reach them, the
    library at an address such as ``s3://bucket/reports``.

    Args:
        files: Files, folders or globs.
        library: The library's folder or address.
        actors: How many read, each with a model of its own.
        cpus: CPUs of each. The states of CPUs depend in their last bits on how many threads
            compute them: let all machines use as many.
        gpus: GPUs of each, also a part of one.
        options: How files are found and parsed.
        progress: True draws a bar; a function is called with pages read and in all.
        settings: Fields of `LibraryConfig`.
        **load: Arguments of `Pace.load`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: A setting is outside its range.
        DocumentError: There are no such files.
        LibraryFileError: The library is damaged or cannot be written.
        PaceError: Actors are lost again and again.
    """
    if actors < 1 or cpus < 1:
        raise ConfigError(f"actors and cpus must be at least 1, got {actors} and {cpus}")
    paths = files if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    found = expand_paths([*paths], options or ReadOptions())
    place = str(library) if is_url(library) else str(Path(library).expanduser().absolute())
    changed = _list_changed(place, [str(Path(path).absolute()) for path in found])
    remote = import_ray().remote(num_cpus=cpus, num_gpus=gpus)(PageReader)
    arguments = place, load, settings or {}, cpus
    team = ActorTeam(lambda: remote.remote(*arguments), lambda one: one.open.remote(), actors)
    try:
        added, replaced, report = _put_files(team, changed, options or ReadOptions())
        shares, tokens = _read_pages(team, actors, progress)
    finally:
        team.close()
    unchanged = len(found) - len(changed)
    pages = sum(shares.values())
    return ClusterReading(added, replaced, unchanged, pages, tokens, dict(shares), report)


def _list_changed(place: str, paths: Sequence[str]) -> list[str]:
    """Return the files that the library does not hold as they are."""
    from pace_integrations.library.catalog import file_stamp

    held = find_place(place).open_catalog({}).load().held
    stamps = {item.document.source: item.stamp for item in held if item.stamp is not None}
    return [path for path in paths if stamps.get(path, ()) != file_stamp(path)]


def _put_files(
    team: ActorTeam, paths: Sequence[str], options: ReadOptions
) -> tuple[tuple[str, ...], tuple[str, ...], Report]:
    added, replaced, report = list[str](), list[str](), Report()
    for wave in _batched(paths, _KEPT):
        groups = [*_batched(wave, _PARSED)]
        parsed = dict(team.share_out(lambda actor, own: actor.parse.remote(own, options), groups))
        corpora = [parsed[i] for i in range(len(groups))]  # in the order of the files
        whole = Corpus(tuple(d for corpus in corpora for d in corpus.documents))
        for corpus in corpora:
            report = Report(
                (*report.files, *corpus.report.files), report.skipped + corpus.report.skipped
            )
        new, old = team.call_one(lambda actor, own: actor.put.remote(own), whole)
        added += new
        replaced += old
    return tuple(added), tuple(replaced), report


def _read_pages(
    team: ActorTeam, actors: int, progress: bool | Progress
) -> tuple[Counter[str], int]:
    unread = team.call_one(lambda actor, _: actor.list_unread.remote(), None)
    groups = [*_batched(unread, max(_PAGES, len(unread) // (actors * _TURNS)))]
    shares, tokens, done = Counter[str](), 0, 0
    bar = tqdm(total=len(unread), unit="page", desc="reading", disable=progress is not True)
    with bar:
        for i, (who, pages, read) in team.share_out(
            lambda actor, own: actor.read.remote(own), groups
        ):
            shares[who] += pages
            tokens += read
            done += len(groups[i])
            bar.update(len(groups[i]))
            if callable(progress):
                progress(done, len(unread))
    return shares, tokens


def _batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
