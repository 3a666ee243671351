"""Calibration: keeps the layers that help, stays off where the loss rises, leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.memory import Calibration, Calibrator, MemoryPatch
from pace_integrations.memory.calibration.norm_control import MemoryControl, scale_norms
from pace_integrations.model.forward import token_losses

BASE = MemoryConfig(step=16, slots=8)
Losses = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_model("llama")


def windows(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 128, (1, 32), generator=generator) for _ in range(count)]


def lengths(model: PreTrainedModel, signs: dict[int, float]) -> Losses:
    """A loss that falls where a layer's activations become shorter, or longer.

    The released rule makes what it finds shorter, so the sign says whether a layer's memory helps.
    """

    def losses(ids: Tensor) -> Tensor:
        total, handles = torch.zeros(16), []
        for layer, sign in signs.items():

            def add(_: object, args: tuple[Tensor], __: object, sign: float = sign) -> None:
                total.add_(sign * args[0][0, 16:].norm(dim=-1))

            handles.append(model.model.layers[layer].mlp.down_proj.register_forward_hook(add))
        model(ids)
        for handle in handles:
            handle.remove()
        return total

    return losses


def run(model: PreTrainedModel, losses: Losses, layers: tuple[int, ...] = (0, 1, 3)) -> Calibration:
    calibrator = Calibrator(model, losses, (windows()[:2], windows()[2:]), BASE, layers)
    assert len(list(calibrator.run_steps())) >= 2 + len(layers)
    return calibrator.result


@pytest.mark.parametrize("good", [0, 1, 3])
def test_the_layer_that_lowers_the_loss_is_kept(model: PreTrainedModel, good: int) -> None:
    # Layers in front of another change its input too, so only one of them counts at a time.
    found = run(model, lengths(model, {good: 1.0}))
    assert found.config is not None
    assert good in (found.config.layers or ())
    assert {layer.layer for layer in found.layers if layer.kept} == set(found.config.layers or ())
    alone = {layer.layer: layer.alone.mean for layer in found.layers}
    assert alone[good] < 0
    assert found.held_out is not None
    assert found.held_out.mean < 0


def test_nothing_is_kept_where_every_layer_raises_the_loss(model: PreTrainedModel) -> None:
    found = run(model, lengths(model, {0: -1.0, 1: -1.0, 3: -1.0}))
    assert (found.config, found.held_out, found.norm_alone) == (None, None, None)
    assert "memory off" in str(found)


def test_what_helps_on_the_chosen_windows_alone_is_not_kept(model: PreTrainedModel) -> None:
    good, last = lengths(model, {1: 1.0}), windows()[2]
    found = run(model, lambda ids: -good(ids) if torch.equal(ids, last) else good(ids))
    assert found.config is None
    assert found.held_out is not None
    assert found.held_out.mean > 0
    assert not any(layer.kept for layer in found.layers)
    assert "the loss rises" in str(found)


def test_the_settings_do_what_the_report_says(model: PreTrainedModel) -> None:
    """The held-out change, taken again through a patch with the settings found."""
    losses = lengths(model, {1: 1.0})
    found, window = run(model, losses, (1,)), windows()[2]
    assert found.config is not None
    with torch.no_grad():
        off = losses(window).mean()
        patch = MemoryPatch(model, found.config)
        state = patch.new_state()
        with patch.reading(state):
            on = losses(window).mean()
        patch.remove()
    assert found.loss == pytest.approx(float(off), rel=1e-5)
    assert found.held_out is not None
    assert found.held_out.mean == pytest.approx(float(on - off), rel=1e-4)
    # This loss is a length, so the control that changes lengths alone reaches the same.
    assert found.norm_alone is not None
    assert found.norm_alone.mean == pytest.approx(found.held_out.mean, rel=1e-4)
    for layer, low, high in found.config.thresholds or ():
        bank = state.bank(layer).config
        assert (bank.theta_low, bank.theta_high) == (low, high)


def test_thresholds_are_quantiles_of_the_similarities(model: PreTrainedModel) -> None:
    found = run(model, lengths(model, {1: 1.0}))
    for layer in found.layers:
        shown = list(layer.quantiles.values())
        assert shown == sorted(shown)
        assert -1 <= layer.thresholds[0] <= layer.thresholds[1] <= 1
    first = {t.layers: t for t in found.trials if len(t.layers) == 1}[(3,)]
    assert first.shares == (0.25, 0.75)
    own = found.layers[2]
    assert own.thresholds == pytest.approx((own.quantiles[0.25], own.quantiles[0.75]), abs=1e-4)


def hooks(model: PreTrainedModel) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def test_nothing_stays_on_the_model_also_after_an_exception(model: PreTrainedModel) -> None:
    before, calls = hooks(model), iter(range(6))

    def failing(ids: Tensor) -> Tensor:
        model(ids)
        return torch.zeros(16) + 1 / (5 - next(calls))

    for losses in (lengths(model, {1: 1.0}), failing):
        calibrator = Calibrator(model, losses, (windows()[:2], windows()[2:]), BASE)
        try:
            for _ in calibrator.run_steps():
                assert hooks(model) == before
        except ZeroDivisionError:
            with pytest.raises(ConfigError, match="not finished"):
                _ = calibrator.result
        assert hooks(model) == before
    assert next(calls, None) is None


@pytest.mark.parametrize(
    ("base", "parts", "message"),
    [
        (MemoryConfig(blend=0.0), (1, 1), "blend=0"),
        (BASE, (0, 1), "at least one window"),
        (BASE, (1, 0), "at least one window"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    model: PreTrainedModel, base: MemoryConfig, parts: tuple[int, int], message: str
) -> None:
    given = windows()[: parts[0]], windows()[: parts[1]]
    with pytest.raises(ConfigError, match=message):
        Calibrator(model, lengths(model, {}), given, base)


@pytest.mark.parametrize("family", ["llama", "gpt2", "cohere"])
@pytest.mark.parametrize("count", [1, 20, 31])
@torch.no_grad()
def test_losses_are_those_of_the_logits(family: str, count: int) -> None:
    model, ids = tiny_model(family), windows(1)[0]
    logs = model(ids).logits[0].log_softmax(-1)
    expected = -logs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(token_losses(model, ids, count), expected[-count:])


def test_a_pace_calibrates_beside_an_answer_and_loads_with_what_it_found(
    pace: Pace, tiny_path: Path
) -> None:
    text = "The oak stands near the pond, and the gate opens at 7:30. " * 30
    corpus, short = Corpus.from_texts({"House": text}), GenerationConfig(max_new_tokens=12)
    session = pace.read(corpus)
    expected = session.ask("Where is the oak?", generation=short)
    steps: list[str] = []
    with session.stream("Where is the oak?", generation=short) as stream:
        pieces = [next(stream)]
        found = pace.calibrate(corpus, tokens=1024, progress=steps.append)
        pieces += stream
    assert "".join(pieces) == expected.text
    assert steps[0] == "similarities"
    assert steps[-1] == "held-out windows"
    assert [layer.layer for layer in found.layers] == [0, 1, 2, 3]
    assert 512 <= found.tokens <= 1024
    assert str(found).count("\n") == 6 + (found.norm_alone is not None)
    with Pace.load(tiny_path, memory=found.config) as other:
        other.read(corpus).ask("Where?", generation=short)


def test_too_little_text_is_refused(pace: Pace) -> None:
    with pytest.raises(DocumentError, match="at least 512 tokens"):
        pace.calibrate(Corpus.from_texts({"Note": "Short."}))


@pytest.mark.parametrize(
    "thresholds", [((1, 0.5, 0.2),), ((1, 0.1, 0.2), (1, 0.1, 0.3)), ((0, -2.0, 0.5),)]
)
def test_thresholds_of_a_layer_are_checked(thresholds: tuple) -> None:
    with pytest.raises(ConfigError, match=r"thresh|theta"):
        MemoryConfig(thresholds=thresholds)


@pytest.mark.parametrize("values", ["activations", "outputs"])
@torch.no_grad()
def test_the_control_keeps_directions_and_takes_lengths(
    model: PreTrainedModel, values: str
) -> None:
    outputs, window = values == "outputs", windows(1)[0]
    module = model.model.layers[1].mlp.down_proj
    seen: dict[str, list[Tensor]] = {"plain": [], "memory": [], "control": []}

    def run(name: str, *, memory: bool, control: bool) -> None:
        def keep(_: object, args: tuple[Tensor], output: Tensor) -> None:
            seen[name].append(output if outputs else args[0])

        with ExitStack() as stack:
            if memory:
                patch = MemoryPatch(model, replace(BASE, layers=(1,), values=values))
                stack.callback(patch.remove)
                stack.enter_context(patch.reading(patch.new_state()))
            if control:
                stack.callback(MemoryControl([module], scale_norms, outputs=outputs).remove)
            stack.callback(module.register_forward_hook(keep).remove)
            model(window)

    run("plain", memory=False, control=False)
    run("memory", memory=True, control=False)
    run("control", memory=True, control=True)
    (plain,), (memory,), (control,) = seen.values()
    assert not torch.allclose(memory, plain)
    torch.testing.assert_close(control.norm(dim=-1), memory.norm(dim=-1))
    torch.testing.assert_close(
        torch.cosine_similarity(control, plain, dim=-1), torch.ones(control.shape[:2])
    )
