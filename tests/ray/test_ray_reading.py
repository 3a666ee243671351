"""Actors that read into one library: the states of one process, and no page twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

import torch
from safetensors import safe_open

from pace_integrations import Corpus, Pace
from pace_integrations.errors import LibraryFileError
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.ray import read

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]
SETTINGS = {"profile": ReadingProfile(index_layers=(1, 2)), "passage": None}


def write_books(folder: Path, books: int, pages: int) -> list[Path]:
    paths = []
    for book in range(books):
        text = "\f".join(f"Door {book}-{page} is {page % 7} m wide." for page in range(pages))
        paths.append(folder / f"book{book}.txt")
        paths[-1].write_text(text)
    return paths


def states_of(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    found = {}
    for path in folder.glob(f"{kind}/*/*.safetensors"):
        with safe_open(path, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - no dict
                assert name not in found, "read twice"
                found[name] = stream.get_tensor(name)
    return found


def read_alone(paths: list[Path], folder: Path, model: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Pace.load(model, memory=None) as pace:
            Library.open(folder, pace, **SETTINGS).add(Corpus.from_paths(paths))
    finally:
        torch.set_num_threads(threads)


def test_two_actors_read_what_one_process_reads_bit_for_bit(
    cluster: Any, model: str, tmp_path: Path
) -> None:
    every = bool(os.environ.get("PACE_EVERY_STEP"))
    paths = write_books(tmp_path, books=5, pages=400 if every else 40)
    read_alone(paths, tmp_path / "alone", model)
    seen: list[tuple[int, int]] = []
    options = {"model": model, "memory": None, "settings": SETTINGS}
    made = read(paths, tmp_path / "lib", progress=lambda *at: seen.append(at), **options)
    assert len(made.added) == 5
    assert made.pages == sum(made.shares.values()) == (2000 if every else 200)
    if every:  # or the first one may have read all when the second has started
        assert len(made.shares) == 2
        assert min(made.shares.values()) >= 16
    assert seen[-1] == (made.pages, made.pages)
    for kind in ("states", "index"):
        alone, shared = states_of(tmp_path / "alone", kind), states_of(tmp_path / "lib", kind)
        assert alone.keys() == shared.keys()
        assert all(torch.equal(tensor, shared[key]) for key, tensor in alone.items())
    paths[0].write_text("Another page.")
    changed = read(paths, tmp_path / "lib", **{**options, "actors": 1})
    assert (changed.replaced, changed.unchanged, changed.pages) == (("book0.txt",), 4, 1)


def test_an_actor_that_is_lost_costs_what_it_had_in_hand(
    cluster: Any, model: str, tmp_path: Path
) -> None:
    paths = write_books(tmp_path, books=1, pages=160)
    killed: list[int] = []

    def kill_once(done: int, total: int) -> None:
        if not killed and done >= 32:
            pid = next(iter(_worker_pids()))
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    options = {"model": model, "memory": None, "settings": SETTINGS}
    made = read(paths, tmp_path / "lib", progress=kill_once, **options)
    assert killed
    assert len(states_of(tmp_path / "lib", "states")) == 2 * 160
    # What was kept on disk before the loss was not read again, nor counted again.
    assert 160 - 48 <= made.pages <= 160


def test_what_an_actor_refuses_is_told_and_more_actors_than_cpus_do_no_harm(
    cluster: Any, model: str, tmp_path: Path
) -> None:
    paths = write_books(tmp_path, books=1, pages=20)
    with pytest.raises(LibraryFileError, match="is no library"):
        read(paths, tmp_path, model=model, memory=None, settings=SETTINGS)
    made = read(paths, tmp_path / "lib", actors=3, model=model, memory=None, settings=SETTINGS)
    assert made.pages == 20


def _worker_pids() -> list[int]:
    import psutil

    names = ((p.pid, p.name()) for p in psutil.process_iter())
    return [pid for pid, name in names if "PageReader" in name]
