"""What is removed or replaced shows by its content that a save made it; the rest is the user's."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch

import pace_integrations.store.session_folder as folders
from pace_integrations import Corpus
from pace_integrations.errors import SessionFileError
from pace_integrations.store.ownership import remove_session
from pace_integrations.store.session_folder import read_session, write_session
from pace_integrations.store.store import Sessions

pytestmark = pytest.mark.local_folder(
    "whose files lie in a folder; what a shared store holds is named by keys"
)
FINGERPRINT = {"model": "m"}
KEY = "0" * 32


def write(path: Path, tokens: int = 3) -> None:
    write_session(
        path,
        fingerprint=FINGERPRINT,
        tokens=tokens,
        corpus=Corpus.from_texts({"oak": "The oak fell."}),
        tensors={"kv.safetensors": {"0.keys": (torch.ones(1, 1, tokens, 4),)}},
    )


def data(path: Path) -> Path:
    return path / json.loads((path / "manifest.json").read_text())["data"]


FOREIGN = {
    "a folder named like data": {"data-raw/thesis.txt": "years"},
    "a web page's manifest": {"manifest.json": '{"name": "my site"}'},
    "both": {"manifest.json": "{}", "data-0123456789ab/corpus.jsonl": "mine"},
    "a lock and a text": {".lock": "", "notes.txt": "mine"},
    "a folder named like a reading": {"unfinished/novel.txt": "mine"},
    "a note of another program": {".saving": "data-0123456789ab", "a.txt": "mine"},
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_folder_that_only_looks_like_a_session_is_refused(
    tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(SessionFileError, match="is no saved session"):
        write(tmp_path)
    assert not remove_session(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in files} == files


def test_files_of_others_inside_a_session_stay(tmp_path: Path) -> None:
    path = tmp_path / "s.pace"
    write(path)
    mine = {"data-raw/thesis.txt", "data-0123456789ab/corpus.jsonl", "notes.txt"}
    for name in (*mine, f"{data(path).name}/notes.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("mine")
    beside = data(path) / "notes.txt"
    write(path, 4)
    write(path, 5)
    assert read_session(path, fingerprint=FINGERPRINT).tokens == 5
    assert not remove_session(path)
    assert all((path / name).read_text() == "mine" for name in mine)
    assert beside.read_text() == "mine"
    assert not list(path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "name", [".manifest.json.new", ".lock", ".saving", ".saving.new", ".reading", "manifest.json"]
)
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    path, victim = tmp_path / "s.pace", tmp_path / "precious.txt"
    write(path)
    victim.write_text("precious")
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(victim)
    write(path, 4)
    assert victim.read_text() == "precious"
    assert read_session(path, fingerprint=FINGERPRINT).tokens == 4


def test_a_link_to_a_folder_is_not_emptied(tmp_path: Path) -> None:
    path, photos = tmp_path / "s.pace", tmp_path / "photos"
    write(path)
    photos.mkdir()
    (photos / "corpus.jsonl").write_text("precious")
    old = data(path)
    for file in old.iterdir():
        file.unlink()
    old.rmdir()
    old.symlink_to(photos)
    write(path, 4)
    assert (photos / "corpus.jsonl").read_text() == "precious"


def test_a_damaged_session_is_replaced_where_its_data_shows_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.pace"
    write(path)
    (path / "manifest.json").write_text("[" * 100_000)
    write(path, 4)
    assert read_session(path, fingerprint=FINGERPRINT).tokens == 4
    assert len(list(path.glob("data-*"))) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_kept_is_only_for_its_owner(tmp_path: Path, umask: int) -> None:
    store, before = Sessions(tmp_path / "cache" / "store"), os.umask(umask)
    try:
        with store.use(store.root / f"{KEY}.pace"):
            write(store.root / f"{KEY}.pace")
            write(tmp_path / "made" / "s.pace")
    finally:
        os.umask(before)
    kept = [*(tmp_path / "cache").rglob("*"), *(tmp_path / "made").rglob("*")]
    assert len(kept) > 10
    assert {path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077} == set()


DAMAGES = {
    "deep": "[" * 100_000,
    "empty": "",
    "no JSON": "\x00\xff",
    "another's": '{"name": "my site"}',
    "numbers": '{"format": 2, "sha256": 1e999}',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_one_damaged_entry_spoils_nothing(tmp_path: Path, damage: str) -> None:
    store = Sessions(tmp_path / "store")
    whole, bad = (store.root / f"{digit * 32}.pace" for digit in "01")
    for path in (whole, bad):
        with store.use(path):
            write(path)
    (bad / "manifest.json").write_text(damage, encoding="latin-1")
    assert {e.key[0]: e.status for e in store.list()} == {"0": "whole", "1": "damaged"}
    assert {e.key[0]: e.status for e in store.verify()} == {"0": "whole", "1": "damaged"}
    assert store.describe("1").problem
    assert store.prune(10**9) == ()
    with store.use(bad):  # read again into the same entry
        write(bad)
    assert store.describe("1").status == "whole"
    (bad / "manifest.json").write_text(damage, encoding="latin-1")
    for file in bad.rglob("*.safetensors"):
        file.unlink()
    assert store.remove("1").status == "damaged"
    assert [e.key[0] for e in store.list()] == ["0"]


def test_a_link_in_the_store_is_listed_as_damaged_and_removed_alone(tmp_path: Path) -> None:
    store, photos = Sessions(tmp_path / "store"), tmp_path / "photos"
    with store.use(store.root / f"{'1' * 32}.pace"):
        pass
    photos.mkdir()
    (photos / "a.jpg").write_text("precious")
    (store.root / f"{KEY}.pace").symlink_to(photos)
    assert store.describe("0").status == "damaged"
    store.remove("0")
    assert [e.key[0] for e in store.list()] == ["1"]
    assert (photos / "a.jpg").read_text() == "precious"


def test_in_a_folder_of_others_only_sessions_are_removed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    store = Sessions(tmp_path)
    fake = tmp_path / f"{'1' * 32}.pace"
    fake.mkdir()
    (fake / "thesis.txt").write_text("years")
    with store.use(tmp_path / f"{KEY}.pace"):
        write(tmp_path / f"{KEY}.pace")
    with pytest.raises(SessionFileError, match="by hand"):
        store.remove("1")
    assert [entry.key for entry in store.wipe()] == [KEY]
    assert (fake / "thesis.txt").read_text() == "years"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_reader_tries_again_while_a_session_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch raises RuntimeError for a file that is gone, others OSError."""
    path, real = tmp_path / "s.pace", folders.safe_open
    write(path)
    gone = iter([RuntimeError("unable to open file"), FileNotFoundError(2, "gone")])

    def racing(*args: object, **kwargs: object) -> object:
        error = next(gone, None)
        if error is None:
            return real(*args, **kwargs)
        write(path, 4)
        raise error

    monkeypatch.setattr(folders, "safe_open", racing)
    assert read_session(path, fingerprint=FINGERPRINT).tokens == 4
