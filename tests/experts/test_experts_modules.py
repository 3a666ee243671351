"""Modules at work: who fires where, what stays when few are on, and checkpoints in their order."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner, Result

from pace_integrations import Corpus, ExpertConfig, GenerationConfig, MemoryConfig, Pace
from pace_integrations.cli import app
from pace_integrations.errors import (
    ConfigError,
    IncompatibleSessionError,
    MissingExtraError,
    ModelLoadError,
    ModelPatchError,
)
from pace_integrations.experts import (
    CoactivationMeter,
    UsageMeter,
    cluster_neurons,
    mask_experts,
    reorder_neurons,
)
from pace_integrations.experts.masking import keep_active
from pace_integrations.feed_forward import Block, find_blocks
from pace_integrations.model import expert_checkpoint as divide
from pace_integrations.model import loading
from pace_integrations.model.prompts import Prompts
from pace_integrations.session.diagnostics.module_usage import ModuleUsage
from recipes import experts_share

IDS = torch.randint(3, 128, (2, 40), generator=torch.Generator().manual_seed(0))
CONFIG = ExpertConfig(experts=8)
SHORT = GenerationConfig(max_new_tokens=8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def divided(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Pace:
    cache = str(tmp_path_factory.mktemp("cache"))
    return Pace.load(tiny_path, memory=None, experts=ExpertConfig(experts=8, cache=cache))


@pytest.fixture(scope="module")
def usage(divided: Pace, corpus: Corpus) -> ModuleUsage:
    return divided.module_usage(corpus)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def by_hand(model: nn.Module, ids: Tensor) -> list[Tensor]:
    """Absolute activations of every layer ``(tokens, d_ff)`` in one plain forward."""
    seen: list[Tensor] = []
    handles = [
        b.output.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].abs()))
        for b in find_blocks(model)
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return seen


# Loading with experts.


def test_experts_change_no_answer_and_the_fingerprint(
    divided: Pace, tiny_path: Path, corpus: Corpus, tmp_path: Path
) -> None:
    with Pace.load(tiny_path, memory=None) as plain:
        session = plain.read(corpus)
        expected = session.ask("What is baked?", generation=SHORT).text
        session.save(tmp_path / "plain.pace")
        assert plain.experts is None
        assert plain.fingerprint["experts"] is None
    assert divided.read(corpus).ask("What is baked?", generation=SHORT).text == expected
    assert divided.fingerprint["experts"]["experts"] == 8
    assert divided.fingerprint["experts"]["order"].startswith("sha256:")
    with pytest.raises(IncompatibleSessionError, match="experts"):
        divided.open(tmp_path / "plain.pace")


def test_another_order_is_another_model(
    divided: Pace, tiny_path: Path, corpus: Corpus, tmp_path: Path
) -> None:
    divided.read(corpus).save(tmp_path / "divided.pace")
    same = ExpertConfig(experts=8)
    with Pace.load(tiny_path, memory=None, experts=same) as again:
        assert again.fingerprint == divided.fingerprint
        again.open(tmp_path / "divided.pace")
    other = ExpertConfig(experts=8, by="random")
    with (
        Pace.load(tiny_path, memory=None, experts=other) as drawn,
        pytest.raises(IncompatibleSessionError, match=r"experts\.by"),
    ):
        drawn.open(tmp_path / "divided.pace")


def test_memory_and_experts_together(tiny_path: Path, corpus: Corpus) -> None:
    memory = MemoryConfig(step=32, slots=16, layers=(0, 2))
    answers = []
    for experts in (None, CONFIG):
        with Pace.load(tiny_path, memory=memory, experts=experts) as pace:
            answers.append(pace.read(corpus).ask("What is baked?", generation=SHORT).text)
    assert answers[0] == answers[1]


def test_quantized_models_are_divided_or_name_the_way_out(tiny_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with Pace.load(tiny_path, memory=None, quantization="int8", experts=CONFIG) as pace:
        assert pace.fingerprint["experts"]["experts"] == 8
    with pytest.raises(ModelPatchError, match="pace cluster MODEL -o DIR"):
        Pace.load(tiny_path, memory=None, quantization="nf4", experts=CONFIG)


# Usage.


def test_usage_is_the_mean_absolute_activation_of_every_page(
    usage: ModuleUsage, divided: Pace, corpus: Corpus
) -> None:
    loaded = divided._engine.loaded
    prompts = Prompts(loaded.tokenizer)
    parts = [prompts.encode_prefix()]
    for n, (document, page) in enumerate(corpus.pages(), 1):
        parts.append(prompts.encode_passage(n, document.title, page.label, page.text))
    ids = torch.tensor([[token for part in parts for token in part]])
    layers = by_hand(loaded.model, ids)
    assert usage.tokens == tuple(len(part) for part in parts[1:])
    assert usage.mean.shape == (4, 3, 8)
    for i, activations in enumerate(layers):
        pages = activations.split([len(part) for part in parts])[1:]
        for j, page in enumerate(pages):
            expected = page.mean(0).view(8, -1).mean(1)
            torch.testing.assert_close(usage.mean[i, j], expected, rtol=1e-3, atol=1e-5)


def test_the_model_is_left_as_it_was(divided: Pace, corpus: Corpus) -> None:
    hooks = [len(m._forward_pre_hooks) for m in divided._engine.loaded.model.modules()]
    divided.module_usage(corpus)
    after = [len(m._forward_pre_hooks) for m in divided._engine.loaded.model.modules()]
    assert sum(hooks) == sum(after)


def test_usage_progress_counts_tokens(divided: Pace, corpus: Corpus) -> None:
    seen: list[tuple[int, int]] = []
    session = divided.read(corpus)
    divided.module_usage(corpus, progress=lambda *step: seen.append(step))
    assert seen[-1] == (session.tokens, session.tokens)


def test_usage_needs_experts(pace: Pace, corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"Pace\.load\(experts=\.\.\.\)"):
        pace.module_usage(corpus)


def test_the_module_of_a_document_is_the_one_the_others_do_not_use(usage: ModuleUsage) -> None:
    mean = torch.ones(2, 3, 4)
    mean[0, 1, 2] = 3.0
    mean[1, 1, 0] = 5.0
    mean[1, :, 3] = 100.0  # strong everywhere: not specific
    made = ModuleUsage((4, 7), 4, usage.passages, usage.tokens, mean)
    first, second, third = made.specific(made.documents[1], top=3)
    assert (first.layer, first.module, first.usage) == (7, 0, 5.0)
    assert (second.layer, second.module) == (4, 2)
    assert first.times > second.times > 2 > 1.1 > third.times
    for document in (made.documents[0], made.documents[2]):
        assert all(found.times < 1.1 for found in made.specific(document))


def test_a_lone_document_is_held_against_its_own_mean(usage: ModuleUsage) -> None:
    mean = torch.tensor([[[1.0, 1.0, 4.0, 2.0]]])
    made = ModuleUsage((0,), 4, usage.passages[:1], (10,), mean)
    found = made.specific(made.documents[0], top=2)
    assert [f.module for f in found] == [2, 3]
    assert found[0].times == pytest.approx(2.0, rel=0.1)


def test_pages_weigh_by_their_tokens(usage: ModuleUsage) -> None:
    document = usage.passages[0].document
    pages = (usage.passages[0], usage.passages[0])
    mean = torch.tensor([[[1.0, 2.0], [5.0, 2.0]]])
    made = ModuleUsage((0,), 2, pages, (30, 10), mean)
    torch.testing.assert_close(made.of(document), torch.tensor([[2.0, 2.0]]))


def test_a_meter_takes_no_more_tokens_than_announced() -> None:
    model = tiny_model("llama")
    meter = UsageMeter(find_blocks(model), 8, [20])
    with pytest.raises(ConfigError, match="more than the 20 tokens"), meter.watch_forwards():
        model(IDS[:1])
    assert not any(m._forward_pre_hooks for m in model.modules())


# Co-activation.


def test_neurons_that_fire_together_are_put_together() -> None:
    generator = torch.Generator().manual_seed(0)
    group = torch.randperm(24, generator=generator) % 4
    on = (torch.rand(300, 4, generator=generator) < 0.25).float()
    x = on[:, group] * (1 + torch.rand(300, 24, generator=generator))
    x *= torch.where(torch.rand(24, generator=generator) < 0.5, -1.0, 1.0)
    output = nn.Linear(24, 4)
    block = Block(0, (nn.Linear(4, 24),), output, (), 24)
    meter = CoactivationMeter([block], 300, samples=150)
    with meter.watch_forwards():
        for part in x.split(70):
            output(part[None])
    rows = meter.describe_neurons()[0]
    assert rows.shape == (24, 150)
    labels = cluster_neurons(rows, 4)
    assert len({(int(a), int(b)) for a, b in zip(group, labels, strict=True)}) == 4


def test_a_model_divided_by_coactivation_answers_alike(tiny_path: Path, corpus: Corpus) -> None:
    text = "The oak stands near the pond. Bread is baked on Mondays. " * 3
    config = ExpertConfig(experts=8, by="coactivation", text=text)
    prints, answers = [], []
    for experts in (config, config, CONFIG, None):
        with Pace.load(tiny_path, memory=None, experts=experts) as pace:
            prints.append(pace.fingerprint["experts"])
            answers.append(pace.read(corpus).ask("What is baked?", generation=SHORT).text)
    assert prints[0] == prints[1]
    assert prints[0]["order"] != prints[2]["order"]
    assert len(set(answers)) == 1


# Switching modules off.


@pytest.mark.parametrize("choice", ["token", "chunk"])
def test_the_most_active_modules_stay(choice: str) -> None:
    x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(0))
    kept = keep_active(x, 6, 0.4, choice)  # 2.4 modules: three
    on = kept.view(2, 5, 6, 4).abs().sum(-1) > 0
    assert (on.sum(-1) == 3).all()
    assert torch.equal(kept, torch.where(kept != 0, x, kept))
    strength = x.abs().view(2, 5, 6, 4).mean(-1)
    if choice == "chunk":
        assert (on == on[:, :1]).all()
        strength = strength.mean(1, keepdim=True).expand_as(strength)
    else:
        assert not (on == on[:, :1]).all()
    weakest_on = strength.masked_fill(~on, torch.inf).amin(-1)
    strongest_off = strength.masked_fill(on, -torch.inf).amax(-1)
    assert (weakest_on >= strongest_off).all()


@torch.no_grad()
def test_switching_off_more_strays_further_and_leaves_no_trace() -> None:
    model = tiny_model("llama")
    reorder_neurons(model, CONFIG)
    plain = model(IDS).logits
    strayed = []
    for active in (1.0, 0.75, 0.25):
        with mask_experts(model, ExpertConfig(experts=8, active=active)):
            strayed.append(float((model(IDS).logits - plain).abs().mean()))
    assert strayed[0] == 0.0
    assert 0.0 < strayed[1] < strayed[2]
    assert torch.equal(model(IDS).logits, plain)
    with pytest.raises(RuntimeError), mask_experts(model, ExpertConfig(experts=8, active=0.5)):
        raise RuntimeError
    assert torch.equal(model(IDS).logits, plain)


def test_a_switched_model_is_another_one(tiny_path: Path, corpus: Corpus) -> None:
    with Pace.load(
        tiny_path, memory=None, experts=ExpertConfig(experts=8, active=0.25, choice="chunk")
    ) as pace:
        assert pace.fingerprint["experts"]["active"] == 0.25
        assert pace.fingerprint["experts"]["choice"] == "chunk"
        assert pace.read(corpus).ask("What is baked?", generation=SHORT).usage.output_tokens > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"experts": 0}, "at least 1"),
        ({"active": 0.0}, r"active must lie in \(0, 1\]"),
        ({"active": 1.5}, r"active must lie in \(0, 1\]"),
        ({"solver": "slow"}, "solver must be one of"),
        ({"by": "name"}, "by must be one of"),
        ({"choice": "page"}, "choice must be one of"),
        ({"layers": ()}, "names no layer"),
        ({"layers": (-1,)}, "0-based"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExpertConfig(**settings)


def test_a_switch_needs_a_share() -> None:
    with pytest.raises(ConfigError, match="active"), mask_experts(tiny_model("llama"), CONFIG):
        pass


def test_the_recipe_of_shares_frames_the_clusterings(
    tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The oak stands near the pond. Bread is baked on Mondays. " * 20)
    options = ["--model", str(tiny_path), "--experts", "8", "--tokens", "128", "--json"]
    experts_share.main([str(text), *options])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["by"] for row in rows] == ["coactivation", "weights", "random", "single neurons"]
    whole = [row["loss"]["1.0"] for row in rows]
    assert whole == pytest.approx([whole[0]] * 4, abs=1e-4)
    assert all(row["loss"]["0.125"] != pytest.approx(whole[0], abs=1e-3) for row in rows)


# The shell.


def test_a_clustered_checkpoint_loads_with_plain_transformers(
    tiny_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "clustered"
    result = run("cluster", tiny_path, "-o", folder, "--experts", 8, "--json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["layers"], shown["experts"]) == (4, 8)
    assert json.loads((folder / divide.NOTE).read_text())["order"] == shown["order"]
    before = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(after(IDS).logits, before(IDS).logits, rtol=0, atol=1e-4)
    gate = after.model.layers[0].mlp.gate_proj.weight
    assert not torch.equal(gate, before.model.layers[0].mlp.gate_proj.weight)
    own = AutoTokenizer.from_pretrained(folder)
    assert own.chat_template == AutoTokenizer.from_pretrained(tiny_path).chat_template
    assert [file.name for file in folder.parent.iterdir()] == ["clustered"]


def test_a_checkpoint_by_coactivation(tiny_path: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The oak stands near the pond. " * 10)
    options = ["--experts", 8, "--coactivation", text, "--json"]
    result = run("cluster", tiny_path, "-o", tmp_path / "out", *options)
    assert result.exit_code == 0, result.stderr
    note = json.loads((tmp_path / "out" / divide.NOTE).read_text())
    assert note["by"] == "coactivation"


def test_a_folder_with_something_in_it_is_left_alone(tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = run("cluster", tiny_path, "-o", tmp_path, "--experts", 8)
    assert result.exit_code == 2
    assert "not an empty folder" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_writing_leaves_nothing(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, done = divide.divide_into_experts(loading.load_model(tiny_path), CONFIG)
    folder = tmp_path / "new"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loaded.tokenizer, "save_pretrained", full)
    with pytest.raises(ModelLoadError, match="No space left"):
        divide.write_checkpoint(loaded, done, folder)
    assert not folder.exists()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".new")]


def test_experts_shows_every_document(house: Path, tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The key hangs by the door. " * 4)
    where = [house, tmp_path / "note.txt", "--model", tiny_path, "--experts", 8, "--top", 2]
    result = run("experts", *where, "--plot", tmp_path / "heat.png", "--json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert [len(d["specific"]) for d in shown["documents"]] == [2, 2]
    assert [page["page"] for page in shown["pages"]] == [1, 2, 1]
    assert all(torch.tensor(page["usage"]).shape == (4, 8) for page in shown["pages"])
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    text = run("experts", *where, "--layer", 1)
    assert text.exit_code == 0, text.stderr
    assert "times the others" in text.stdout
    assert "8 modules in each of 1 layers" in text.stdout


def test_the_heat_map_names_its_extra(
    house: Path, tiny_path: Path, usage: ModuleUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pace-integrations\[eval\]"):
        usage.plot(Path("never.png"))


def test_a_wrong_number_of_experts_is_one_line(house: Path, tiny_path: Path) -> None:
    result = run("experts", house, "--model", tiny_path, "--experts", 7)
    assert result.exit_code == 2
    assert "choose one of 1, 2, 3, 4, 6, 8" in result.stderr
