"""Every complete task runs as its docstring shows, with the embedded model, in this process."""

from __future__ import annotations

import csv
import importlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from safetensors.torch import load_file
from shown import ROOT, Shown, in_docstring, papers, run
from transformers import AutoModelForCausalLM

from pace_integrations import Corpus, ExpertConfig, Pace
from pace_integrations.errors import ConfigError
from pace_integrations.experts import reorder_neurons

TASKS = [path.stem for path in papers() if path.suffix == ".py"]
SMALL = {"num_hidden_layers": 2, "intermediate_size": 32}
SHOWN = {
    name: list(in_docstring((ROOT / f"recipes/{name}.py").read_text("utf-8"))) for name in TASKS
}


@pytest.mark.parametrize("name", TASKS)
def test_a_recipe_prints_what_it_shows(name: str, workplace: Path) -> None:
    assert any(shown.output for shown in SHOWN[name])
    for shown in SHOWN[name]:
        assert shown.agrees(now := run(shown.source)), f"$ {shown.source}\n{now}"


def test_nine_recipes_show_what_they_print() -> None:
    assert len(TASKS) >= 9


def test_what_is_shown_is_compared() -> None:
    (shown,) = in_docstring("Title.\n\n    $ pace --version\n    two ... words\n\nMore.\n")
    assert shown == Shown("pace --version", "two ... words\n")
    assert shown.agrees("two or more words  \n")
    assert not shown.agrees("two or more\n")


def test_questions_come_from_a_file_and_answers_go_to_one(workplace: Path) -> None:
    (workplace / "questions.txt").write_text(
        "What is the refrigerant?\n\nWho owns the moon?\n", "utf-8"
    )
    run("python -m recipes.batch_to_csv --questions questions.txt -o answers.csv")
    with (workplace / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["question"] for row in rows] == ["What is the refrigerant?", "Who owns the moon?"]
    assert (rows[0]["document"], rows[0]["page"]) == ("Heat pump warranty", "1")


def test_a_comparison_takes_two_reports(workplace: Path) -> None:
    with pytest.raises(SystemExit):
        run("python -m recipes.compare_reports one.pdf")


def test_a_review_goes_to_a_file_and_names_what_could_not_be_read(workplace: Path) -> None:
    (workplace / "bad.pdf").write_bytes(b"%PDF-1.7 and no more")
    question = "Who funded the study?"
    command = f"python -m recipes.literature_review -q '{question}' -o review.md"
    run(f"{command} examples/papers/seagrass.pdf bad.pdf")
    text = (workplace / "review.md").read_text(encoding="utf-8")
    assert text.startswith(f"## {question}\n\n- Paper 1, p. 1: “")
    assert "- Not read in full: `bad.pdf`, corrupt." in text


def test_what_documents_say_is_no_markup(workplace: Path) -> None:
    rules = "The [/b] tenancy begins on [bold] 1 April 2025."
    (workplace / "rules.txt").write_text(rules, "utf-8")
    printed = run("python -m recipes.ask_contracts rules.txt -q 'When does the [x] tenancy begin?'")
    assert "[/b]" in printed
    assert "[bold]" in printed


@pytest.fixture
def address() -> Iterator[str]:
    """A server on this machine."""
    recipe = importlib.import_module("recipes.save_and_serve")
    session = Pace.load().read(Corpus.from_texts({"Garden": "The gate opens at 7:30."}))
    with recipe.Server(("127.0.0.1", 0), partial(recipe.Handler, session)) as server:
        assert isinstance(server, ThreadingHTTPServer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with recipe.Server(server.server_address, partial(recipe.Handler, session)):
            pass  # another one may share the port
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def post(address: str, value: object) -> dict[str, object]:
    with urllib.request.urlopen(address, json.dumps(value).encode()) as response:
        return json.load(response)


@pytest.mark.enable_socket
def test_a_server_answers_and_refuses_what_is_no_question(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = (post(address, {"question": "When does the gate open?"}) for _ in range(2))
    assert first["text"] == second["text"]
    assert first["usage"]["cached_tokens"] > 0
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(address, {"question": ""})
    with refused.value as response:
        assert (response.code, "empty" in json.load(response)["error"]) == (400, True)


@pytest.mark.parametrize("family", ["qwen3", "phi3"])
def test_a_checkpoint_reordered_by_files_is_the_one_reordered_in_memory(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "cache"))
    source, target = save_tiny(tmp_path / "model", family, **SMALL), tmp_path / "experts"
    model = AutoModelForCausalLM.from_pretrained(source)
    model.save_pretrained(source, max_shard_size="30KB")  # several files
    (source / "model.safetensors").unlink(missing_ok=True)
    command = f"python -m recipes.reorder_checkpoint {source} -o {target} --experts 4"
    assert run(command).endswith(f"2 layers, 4 experts each, in {target}\n")
    # The clustering itself is taken from the recipe's cache: what is compared is how it is applied.
    done = reorder_neurons(model, ExpertConfig(experts=4), folder=tmp_path / "cache/experts")
    again = AutoModelForCausalLM.from_pretrained(target)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert json.loads((target / "experts.json").read_text())["order"] == done.fingerprint
    assert len(list(target.glob("*.safetensors"))) > 1
    assert all(load_file(file) for file in target.glob("*.safetensors"))
    with pytest.raises(ConfigError, match="not an empty folder"):
        run(command)
