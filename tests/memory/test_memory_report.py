"""Looking into a memory: hits, slots and origins add up, and agree with what was read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_model
from typer.testing import CliRunner

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.cli import app
from pace_integrations.errors import ConfigError, MissingExtraError
from pace_integrations.memory import MemoryPatch, MemoryState, build_report, project_activations
from pace_integrations.memory.report import measure_diversity
from pace_integrations.model.prompts import passage_text

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus)


def test_steps_cover_every_token_once_and_start_at_documents(session: Session) -> None:
    seen = session.memory_report()
    assert seen.tokens == session.tokens == seen.spans[-1].stop
    assert [layer.layer for layer in seen.layers] == [0, 2]
    for layer in seen.layers:
        starts, stops = zip(*((step.start, step.stop) for step in layer.steps), strict=True)
        assert starts == (0, *stops[:-1])
        assert stops[-1] == session.tokens
        assert {span.start for span in seen.spans} <= set(starts)
        assert all(step.hits.total == step.stop - step.start <= 32 for step in layer.steps)
        assert layer.hits.total == session.tokens
        assert sum(layer.hits.rates) == pytest.approx(1)


def test_counts_are_those_of_looking_each_token_up() -> None:
    """The report's counts against cosines taken by hand, step by step."""
    model = tiny_model("llama")
    config = MemoryConfig(rule="slotwise", step=8, slots=4, layers=(1,), blend=0.0)
    patch, seen = MemoryPatch(model, config), []
    hook = model.model.layers[1].mlp.down_proj.register_forward_pre_hook(
        lambda _, args: seen.append(args[0][0])
    )
    state, counted, keys = patch.new_state(), [], torch.zeros(0, 96)
    with torch.no_grad():
        for other in (20, 30, 40):  # without a cache, what starts alike is alike
            ids = torch.tensor([[3, 4, 5, 6, *range(other, other + 4)]])
            with patch.reading(state):
                model(ids)
            best = torch.full((8,), -torch.inf)
            if len(keys):
                best = torch.cosine_similarity(seen[-1][:, None], keys[None], dim=-1).amax(1)
            high, some = (best > config.theta_high).sum(), (best > config.theta_low).sum()
            counted.append((int(high), int(some - high), int(8 - some)))
            keys = state.bank(1).state()["keys"][0]
    hook.remove()
    hits = [step.hits for step in build_report(state)[0].steps]
    assert [(h.high, h.medium, h.low) for h in hits] == counted
    assert len({*counted}) > 1


def test_slots_come_from_the_page_that_holds_their_words(session: Session) -> None:
    seen = session.memory_report()
    texts = {
        p.number: passage_text(p.number, p.document.title, p.page.label, p.page.text)
        for p in session.passages
    }
    for layer in seen.layers:
        assert 0 < len(layer.slots) <= layer.capacity == 16
        for slot in layer.slots:
            origin = seen.origin(slot)
            assert slot.age == session.tokens - slot.position > 0
            assert slot.usage >= 1
            assert origin.span is not None
            assert origin.span.start <= slot.position < origin.span.stop
            assert origin.span.document == session.passages[origin.span.passage - 1].document.title
            # The tiny model's tokenizer has one token per byte.
            at, text = slot.position - origin.span.start, texts[origin.span.passage]
            assert " ".join(text[max(at - 5, 0) : at + 6].split()) in origin.words
        held = [slot for slots in seen.by_page(layer).values() for slot in slots]
        assert sorted(slot.index for slot in held) == [slot.index for slot in layer.slots]


@pytest.mark.parametrize("chunk", [7, 32, 1024])
def test_chunk_size_asking_and_saving_leave_the_report_as_it_is(
    pace: Pace, corpus: Corpus, session: Session, chunk: int, tmp_path: Path
) -> None:
    other = pace.read(corpus, config=ReadConfig(chunk=chunk))
    before = other.memory_report()
    other.ask("Where is the oak?", generation=GenerationConfig(max_new_tokens=4))
    assert other.memory_report() == before
    other.save(tmp_path / "notes.pace")
    assert pace.open(tmp_path / "notes.pace").memory_report() == before
    expected = session.memory_report()
    assert before.spans == expected.spans
    # Deeper layers differ by rounding, which may move a token across a threshold.
    assert before.layers[0].steps == expected.layers[0].steps
    spans = [[(step.start, step.stop) for step in r.layers[1].steps] for r in (before, expected)]
    assert spans[0] == spans[1]


def test_a_saved_state_keeps_its_steps_row_by_row() -> None:
    model, config = tiny_model("llama"), MemoryConfig(step=8, slots=4, layers=(1,))
    patch = MemoryPatch(model, config)
    state, mask = patch.new_state(2), torch.ones(2, 20, dtype=torch.bool)
    mask[1, :15] = False
    ids = torch.arange(40).reshape(2, 20) + 3
    with torch.no_grad(), patch.reading(state, mask=mask):
        model(ids, attention_mask=mask.long())
    state.flush()
    twin = patch.new_state(2)
    twin.load_tensors(state.tensors())
    for row, steps in enumerate((3, 1)):
        assert build_report(twin, row) == build_report(state, row)
        assert len(build_report(twin, row)[0].steps) == steps
        for a, b in zip(
            project_activations(twin, 1, row), project_activations(state, 1, row), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert len(project_activations(state, 1, 0)[0]) == 4
    assert len(project_activations(state, 1, 1)[0]) == 5


def test_a_state_saved_without_steps_still_opens() -> None:
    patch = MemoryPatch(tiny_model("llama"), MemoryConfig(step=8, slots=4, layers=(1,)))
    state, old = patch.new_state(), patch.new_state().tensors()
    state.load_tensors({k: v for k, v in old.items() if k not in ("1.steps", "1.recent")})
    (layer,) = build_report(state)
    assert (layer.steps, layer.slots, layer.effective_rank) == ((), (), 0.0)


def test_the_picture_is_the_plane_of_most_variance() -> None:
    state = read_long()
    (layer,) = build_report(state)
    recent, stored = project_activations(state, 1)
    assert len(recent) == 100  # every second token of the last step of 200
    assert len(stored) == len(layer.slots)
    drawn = torch.cat([recent, stored]).double().numpy()
    memory = state.rows(1)[0]
    held = memory.bank.state()["keys"][0, : len(stored)]
    both = torch.cat([memory.history.recent, held]).double().numpy()
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    spread = np.linalg.eigvalsh(np.cov(both.T))[::-1][:2]
    np.testing.assert_allclose(np.cov(drawn.T), np.diag(spread), rtol=1e-3, atol=1e-6)


def read_long() -> MemoryState:
    model, config = tiny_model("llama"), MemoryConfig(step=200, slots=6, layers=(1,))
    patch = MemoryPatch(model, config)
    state = patch.new_state()
    ids = torch.randint(3, 128, (1, 400), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part in ids.split(37, dim=1):
            with patch.reading(state):
                model(part)
    return state


@pytest.mark.parametrize("count", [1, 2, 5])
def test_diversity_tells_one_vector_from_many(count: int) -> None:
    same, different = torch.ones(count, 8), torch.eye(8)[:count] * torch.arange(1, 9)
    assert measure_diversity(same) == (pytest.approx(1), pytest.approx(1 if count > 1 else 0))
    assert measure_diversity(different) == (pytest.approx(count), pytest.approx(0))


def test_there_is_something_to_say_about_a_blank_session_but_not_without_memory(
    pace: Pace, tiny_path: Path, tmp_path: Path
) -> None:
    blank = pace.blank().memory_report()
    assert (blank.tokens, blank.spans, blank.layers[0].slots) == (0, (), ())
    pace.blank().plot_memory(tmp_path)
    with Pace.load(tiny_path, memory=None) as plain, pytest.raises(ConfigError, match="memory"):
        plain.blank().memory_report()


def test_pictures_are_drawn_whatever_the_titles(pace: Pace, tmp_path: Path) -> None:
    titles = {f"$\\frac {i} 漢字": "Short. " * 6 for i in range(30)}
    for texts in (titles, dict(list(titles.items())[:2])):
        files = pace.read(Corpus.from_texts(texts)).plot_memory(tmp_path / str(len(texts)))
        assert [file.name for file in files] == ["activations.png", "provenance.png"]
        assert all(file.read_bytes().startswith(PNG) for file in files)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["memory", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_shows_the_session_report(house: Path, tiny_path: Path, tmp_path: Path) -> None:
    options = [house, "--model", tiny_path, "--rule", "slotwise", "--plot", tmp_path]
    code, shown, _ = run(*options, "--json")
    assert code == 0
    with Pace.load(tiny_path, memory=MemoryConfig(rule="slotwise")) as pace:
        expected = pace.read(Corpus.from_paths(house)).memory_report()
    printed = json.loads(shown)
    assert [Path(p).read_bytes()[:6] for p in printed.pop("plots")] == [PNG, PNG]
    assert printed == json.loads(json.dumps(expected.to_dict()))
    code, shown, _ = run(*options[:-2])
    assert code == 0
    assert f"{expected.tokens} tokens read" in shown
    assert "house" in shown


def test_pictures_without_their_extra_name_it(
    house: Path, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtraError, match=r"pace-integrations\[eval\]"):
        session.plot_memory(tmp_path)


def test_a_session_that_grew_reports_as_one_that_was_read_whole(
    pace: Pace, corpus: Corpus, session: Session
) -> None:
    grown = pace.read(Corpus(corpus.documents[:1], corpus.report))
    grown.add(Corpus(corpus.documents[1:], corpus.report))
    a, b = grown.memory_report(), session.memory_report()
    assert a.spans == b.spans
    assert a.layers[0].steps == b.layers[0].steps
    grown.remove("Attic")
    last = grown.memory_report()
    assert last.tokens == last.layers[0].steps[-1].stop == b.spans[-1].start
