"""The recipes of the memory: the transcription follows the rule, the figures are the right ones."""

from __future__ import annotations

import math

import pytest
import torch

from pace_integrations.config import MemoryConfig
from pace_integrations.memory import ActivationMemoryBank
from recipes import bench_memory, memory_diversity
from recipes.transcription import Transcription


def test_the_transcription_and_the_bank_agree() -> None:
    x = bench_memory.stream(64, 900)
    theirs, ours = Transcription(64), ActivationMemoryBank(64, MemoryConfig())
    for part in x.split(300):
        torch.testing.assert_close(ours.step(part[None])[0], theirs.step(part))
    state = ours.state()
    torch.testing.assert_close(state["keys"][0], theirs.keys, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state["values"][0], theirs.values, rtol=1e-4, atol=1e-4)
    assert state["usage"][0].tolist() == theirs.usage.tolist()


@pytest.mark.parametrize("kind", ["transcription", "released", "slotwise"])
def test_one_step_is_measured(kind: str) -> None:
    result = bench_memory.one_step(kind, 32, 128)
    assert result["seconds"] > 0


def test_coherence_of_known_keys() -> None:
    assert memory_diversity.coherence(torch.eye(6)) == pytest.approx((6.0, 0.0))
    assert memory_diversity.coherence(torch.ones(4, 3)) == pytest.approx((1.0, 1.0))
    two = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    rank, cosine = memory_diversity.coherence(two)
    assert 1.0 < rank < 2.0
    assert cosine == pytest.approx(math.sqrt(0.5))


def test_a_collector_feeds_every_rule() -> None:
    collector = memory_diversity.Collector(16)
    for i in range(2):
        collector(torch.nn.Identity(), (torch.randn(1, 1024, 16),))
        assert len(collector.seen) == i + 1
    assert set(collector.banks) == set(memory_diversity.rules())
    assert all(int(counts.sum()) == 2048 for counts in collector.counts.values())
