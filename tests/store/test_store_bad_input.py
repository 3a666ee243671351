"""Sessions that must not open, folders that cannot be written: an error that names why."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkpoints import byte_tokenizer
from safetensors.torch import load_file, save_file

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.errors import IncompatibleSessionError, SessionFileError
from pace_integrations.store.manifest import Verify
from pace_integrations.store.store import Sessions

pytestmark = pytest.mark.local_folder(
    "sessions are saved to a path; shared ones are copies of such folders"
)
SHORT = GenerationConfig(max_new_tokens=8)
MEMORY = MemoryConfig(step=32, slots=16, layers=(0, 2))
NOBODY = 65534


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus)


@pytest.fixture(scope="module")
def other(pace: Pace) -> Session:
    """As long as `session` to the token, with other words."""
    return pace.read(
        Corpus.from_texts(
            {
                "Garden": "The elm stands near the pond. " * 6 + "The gate opens at 8:45.",
                "Kitchen": "Bread is baked on Tuesday. " * 6 + "The oven is a Barlow 300.",
                "Attic": "Six trunks hold dollars. " * 6 + "The key hangs by the desk.",
            }
        )
    )


@pytest.fixture
def saved(session: Session, tmp_path: Path) -> Path:
    session.save(tmp_path / "notes.pace")
    return tmp_path / "notes.pace"


def answer(session: Session) -> str:
    return session.ask("Where is the oak?", generation=SHORT).text


def manifest(saved: Path) -> dict[str, object]:
    return dict(json.loads((saved / "manifest.json").read_text()))


def data(saved: Path) -> Path:
    return saved / str(manifest(saved)["data"])


def seal(saved: Path, fields: dict[str, object]) -> None:
    """Changes a manifest and seals it again, as another program could."""
    content = {**manifest(saved), **fields}
    content.pop("sha256")
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps({**content, "sha256": digest}))


def reseal_files(saved: Path) -> None:
    """Makes the manifest agree with files that were changed."""
    files = {}
    for file in data(saved).iterdir():
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files[file.name] = {"bytes": len(content), "sha256": digest}
    seal(saved, {"files": files})


ROW = {"path": "a.pdf", "status": "ok", "pages": 2, "pages_with_text": 2, "seconds": 0.5}
ROW |= {"warnings": ["a font without names"]}


def status_in_store(saved: Path, verify: Verify) -> str:
    """Status that a store gives a session which lies in it."""
    store = Sessions(saved.parent / "store")
    shutil.copytree(saved, store.root / f"{'0' * 32}.pace", dirs_exist_ok=True)
    (entry,) = store.verify(verify=verify)
    assert (entry.problem is None) == (entry.status == "whole")
    return entry.status


@pytest.mark.parametrize("verify", ["full", "fast"])
@pytest.mark.parametrize("name", ["kv.safetensors", "memory.safetensors", "corpus.jsonl"])
def test_files_swapped_between_sessions_are_refused(
    pace: Pace, other: Session, saved: Path, tmp_path: Path, name: str, verify: str
) -> None:
    other.save(tmp_path / "other.pace")
    theirs = data(tmp_path / "other.pace") / name
    assert theirs.stat().st_size == (data(saved) / name).stat().st_size  # or it were too easy
    shutil.copy(theirs, data(saved) / name)
    with pytest.raises(SessionFileError, match=name):
        pace.open(saved, verify=verify)


def test_a_whole_folder_of_data_from_elsewhere_is_refused(
    pace: Pace, other: Session, saved: Path, tmp_path: Path
) -> None:
    other.save(tmp_path / "other.pace")
    own = data(saved)
    shutil.rmtree(own)
    shutil.copytree(data(tmp_path / "other.pace"), own)
    with pytest.raises(SessionFileError, match="damaged"):
        pace.open(saved)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"sha256": 1}'])
def test_a_manifest_that_is_none_is_refused(pace: Pace, saved: Path, content: bytes) -> None:
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(SessionFileError, match=r"manifest\.json"):
        pace.open(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pages", None),
        ("pages", [5]),
        ("pages", [{"index": "x", "label": None, "text": "oak"}]),
        ("pages", [{"index": 1, "label": None, "text": "oak", "metadata": "x"}]),
        ("pages", [{"index": 1, "label": None, "text": "oak", "invented": 1}]),
        ("title", 5),
        ("metadata", [1]),
        ("invented", 1),
    ],
)
def test_documents_of_another_shape_are_damage(
    pace: Pace, saved: Path, field: str, value: object
) -> None:
    file = data(saved) / "corpus.jsonl"
    row = json.loads(file.read_text().split("\n")[0])
    file.write_text(json.dumps({**row, field: value}))
    reseal_files(saved)
    with pytest.raises(SessionFileError, match="is damaged"):
        pace.open(saved)
    assert status_in_store(saved, "full") == "damaged"


REPORTS: dict[str, object] = {
    "nothing": {},
    "no rows": {"files": 5},
    "a row that is none": {"files": [5]},
    "a row without fields": {"files": [{}]},
    "an unknown field": {"files": [{**ROW, "invented": 1}]},
    "an unknown status": {"files": [{**ROW, "status": "fine"}]},
    "words for numbers": {"files": [{**ROW, "pages": "two"}]},
    "a number that is none": {"files": [{**ROW, "seconds": float("nan")}]},
    "warnings that are none": {"files": [{**ROW, "warnings": [1]}]},
    "words for a count": {"files": [ROW], "skipped": "many"},
}


@pytest.mark.parametrize("verify", ["full", "fast"])
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_a_sealed_report_of_another_shape_is_damage_to_all_who_look(
    pace: Pace, saved: Path, report: object, verify: Verify
) -> None:
    seal(saved, {"report": {"files": [ROW], "skipped": 1}})
    assert pace.open(saved, verify=verify).corpus.report.skipped == 1
    assert status_in_store(saved, verify) == "whole"
    seal(saved, {"report": report})
    with pytest.raises(SessionFileError, match="report"):
        pace.open(saved, verify=verify)
    assert status_in_store(saved, verify) == "damaged"


@pytest.mark.parametrize(
    "fields",
    [
        {"files": {}},
        {"tokens": -1},
        {"tokens": True},
        {"fingerprint": {"model": "m", "memory": {"step": "long"}}},
        {"fingerprint": {"model": "m", "memory": 5}},
    ],
)
def test_what_no_model_could_open_is_not_called_whole(
    saved: Path, fields: dict[str, object]
) -> None:
    seal(saved, fields)
    assert status_in_store(saved, "full") == "damaged"


def test_sealed_tensors_of_another_session_are_damage(saved: Path) -> None:
    file = data(saved) / "kv.safetensors"
    save_file(load_file(file), file)
    reseal_files(saved)
    assert status_in_store(saved, "full") == "damaged"


@pytest.mark.parametrize("version", [1, 99, "2", None])
def test_another_format_is_named(pace: Pace, saved: Path, version: object) -> None:
    seal(saved, {"format": version})
    with pytest.raises(SessionFileError, match=f"has format {version!r}"):
        pace.open(saved)


FIELDS = ["fingerprint", "namespace", "tokens", "data", "files", "documents", "report"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_kind_is_named(pace: Pace, saved: Path, field: str) -> None:
    seal(saved, {field: 1.5})
    with pytest.raises(SessionFileError, match=field):
        pace.open(saved)


def test_a_manifest_cannot_point_outside(pace: Pace, saved: Path) -> None:
    own = str(manifest(saved)["data"])
    for place in (f"../{saved.name}/{own}", str(data(saved)), "..", "."):
        seal(saved, {"data": place})
        with pytest.raises(SessionFileError, match="names"):
            pace.open(saved)


def change(value: object) -> object:
    return 1 - value if isinstance(value, int | float) else f"not {value}"


@pytest.mark.parametrize(
    "field", ["revision", "dtype", "quantization", "prompt", "memory.rule", "memory.step"]
)
def test_every_field_of_the_fingerprint_counts(pace: Pace, saved: Path, field: str) -> None:
    fingerprint = json.loads(json.dumps(pace.fingerprint))
    inside = fingerprint["memory"] if field.startswith("memory.") else fingerprint
    name = field.removeprefix("memory.")
    inside[name] = change(inside[name])
    seal(saved, {"fingerprint": fingerprint})
    with pytest.raises(IncompatibleSessionError, match=f"with {field} = "):
        pace.open(saved)


def test_another_tokenizer_is_refused(tmp_path: Path, tiny_path: Path, saved: Path) -> None:
    shutil.copytree(tiny_path, tmp_path / "model")
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["oak"])
    tokenizer.save_pretrained(tmp_path / "model")
    with (
        Pace.load(tmp_path / "model", memory=MEMORY) as changed,
        pytest.raises(IncompatibleSessionError, match=r"with (revision|prompt) = "),
    ):
        changed.open(saved)


@pytest.mark.parametrize("change", ["dtype", "shape", "missing", "extra"])
@pytest.mark.parametrize("name", ["kv.safetensors", "memory.safetensors"])
def test_tensors_that_do_not_fit_are_refused(
    pace: Pace, session: Session, saved: Path, name: str, change: str
) -> None:
    """Another program may write what it likes and seal it."""
    file = data(saved) / name
    tensors = {key: tensor.clone() for key, tensor in load_file(file).items()}
    first = "0.keys"
    if change == "dtype":
        tensors[first] = tensors[first].double()
    elif change == "shape":
        tensors[first] = tensors[first][:, :1]
    elif change == "missing":
        del tensors[first]
    else:
        tensors["99.keys"] = tensors[first].clone()
    save_file(tensors, file, metadata={"data": data(saved).name})
    reseal_files(saved)
    with pytest.raises(SessionFileError, match=r"0\.(keys|values)|99\.keys"):
        pace.open(saved)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere; nobody may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are POSIX's")
def test_a_read_only_folder_is_refused_for_writing_and_serves_for_reading(
    pace: Pace, session: Session, saved: Path, corpus: Corpus
) -> None:
    seen: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "notes.pace"
        shutil.copytree(saved, place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)  # shared on purpose: a save lets nobody else read
        for path in (place, Path(folder)):
            path.chmod(0o555)
        with unprivileged():
            opened = pace.open(place)
            assert pace.read(corpus, path=place).read_cost.read == 0
            more = corpus + Corpus.from_texts({"Cellar": "Wine lies on the left."})
            for target in (place, Path(folder) / "new.pace"):
                with pytest.raises(SessionFileError, match="Permission denied"):
                    session.save(target)
                with pytest.raises(SessionFileError, match="Permission denied"):
                    pace.read(more, path=target, progress=lambda done, total: seen.append(done))
        for path in (Path(folder), place):
            path.chmod(0o755)
        assert answer(opened) == answer(session)
    assert seen == []


def test_readers_outlive_writers(pace: Pace, session: Session, other: Session, saved: Path) -> None:
    """A session that is replaced all the time opens as the old one or the new one."""
    expected, stop = {answer(session), answer(other)}, threading.Event()

    def write() -> None:
        while not stop.is_set():
            other.save(saved)
            session.save(saved)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {answer(pace.open(saved)) for _ in range(25)}
    finally:
        stop.set()
        writer.join()
    assert seen <= expected


def test_an_opened_session_survives_its_replacement(
    pace: Pace, session: Session, other: Session, saved: Path
) -> None:
    opened = pace.open(saved)
    other.save(saved)
    assert answer(opened) == answer(session)


def test_asking_and_adding_write_nothing_into_the_files(
    pace: Pace, session: Session, saved: Path
) -> None:
    before = {file.name: file.read_bytes() for file in data(saved).iterdir()}
    opened = pace.open(saved)
    answer(opened)
    opened.ask_many(["Which oven?", "Where is the key?"], generation=SHORT)
    opened.add(Corpus.from_texts({"Cellar": "Wine lies on the left."}))
    answer(opened)
    assert {file.name: file.read_bytes() for file in data(saved).iterdir()} == before
