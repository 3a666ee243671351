"""The chunked form is the token recurrence, whatever the chunks, the batch and the padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pace_integrations.ahn import KINDS, ArtificialHippocampus
from pace_integrations.ahn.recurrence import run_recurrence, scan_chunks
from pace_integrations.errors import ConfigError

HEADS, SIZE, HIDDEN = 3, 8, 12


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(kind: str, *, silent: bool = False) -> ArtificialHippocampus:
    """A network in float64 with weights of every name, its output too unless `silent`."""
    torch.manual_seed(0)
    made = ArtificialHippocampus(HEADS, SIZE, HIDDEN, kind).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        if silent:
            made.fn.o_proj.weight.zero_()
    return made.requires_grad_(False)


def stream(batch: int, tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values, and what the attention gets of the leaving and the reading tokens."""
    q, k, v = (draw(batch, HEADS, tokens, SIZE, seed=seed + i) for i in range(3))
    leaving, reading = (draw(batch, tokens, HIDDEN, seed=seed + i) for i in (3, 4))
    return q, k, v, leaving, reading


def one_by_one(
    net: ArtificialHippocampus, q: Tensor, k: Tensor, v: Tensor, leaving: Tensor, reading: Tensor
) -> tuple[Tensor, Tensor]:
    """The equations as they are written down, one row, one head, one token at a time."""
    outs = torch.zeros_like(q)
    states = net.new_state(q.shape[0])
    decay, write = net.fn.compute_gates(leaving)
    for row in range(q.shape[0]):
        for head in range(HEADS):
            memory = states[row, head]
            for t in range(q.shape[2]):
                key, query = (net.fn.normalize(x[row, head, t]) for x in (k, q))
                memory = torch.exp(decay[row, head, t]) * memory
                old = memory.T @ key if net.fn.delta else torch.zeros(SIZE, dtype=torch.float64)
                memory = memory + write[row, head, t] * torch.outer(key, v[row, head, t] - old)
                outs[row, head, t] = net.fn.scale * memory.T @ query
            states[row, head] = memory
    return net.fn.o_proj(net.fn.gate_output(outs, reading)), states


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 200])
def test_chunks_equal_the_recurrence(kind: str, batch: int, chunk: int) -> None:
    net, (q, k, v, leaving, reading) = network(kind), stream(batch, 150)
    wanted, state = one_by_one(net, q, k, v, leaving, reading)
    gates = net.fn.compute_gates(leaving)
    got, end = scan_chunks(
        net.fn.normalize(q),
        net.fn.normalize(k),
        v,
        *gates,
        net.new_state(batch),
        delta=net.fn.delta,
        scale=net.fn.scale,
        chunk=chunk,
    )
    got = net.fn.o_proj(net.fn.gate_output(got, reading))
    assert (got - wanted).abs().max() < 1e-10
    assert (end - state).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_carried_through_calls_of_any_length(kind: str) -> None:
    net, (q, k, v, leaving, reading) = network(kind), stream(2, 150)
    wanted, last = one_by_one(net, q, k, v, leaving, reading)
    state, outs, start = net.new_state(2), [], 0
    for count in (1, 1, 5, 70, 0, 1, 72):
        at = slice(start, start + count)
        gates = net.fn.compute_gates(leaving[:, at])
        part = (x[:, :, at] for x in (q, k, v))
        out, state = net.chunk(*part, reading[:, at], state, gates=gates)
        outs.append(out)
        start += count
    assert (torch.cat(outs, dim=2) - wanted).abs().max() < 1e-10
    assert (state - last).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_a_chunk_of_one(kind: str) -> None:
    """Decoding goes token by token; tokens may also write and read for themselves."""
    net, (q, k, v, leaving, reading) = network(kind), stream(2, 70)
    gates = net.fn.compute_gates(leaving)
    told = net.chunk(q, k, v, reading, gates=gates), net.chunk(q, k, v, reading)
    for own, (wanted, last) in zip((gates, None), told, strict=True):
        state, outs = None, []
        for i in range(70):
            part = (x[:, :, i] for x in (q, k, v))
            at = None if own is None else (own[0][..., i], own[1][..., i])
            out, state = net.step(*part, reading[:, i], state, gates=at)
            outs.append(out)
        assert (torch.stack(outs, dim=2) - wanted).abs().max() < 1e-10
        assert (state - last).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_leaves_no_trace(kind: str, side: str) -> None:
    net, lengths, longest = network(kind), [90, 37, 1], 90
    rows = [stream(1, length, seed=10 * length) for length in lengths]
    padded = []
    for parts in zip(*rows, strict=True):
        whole = draw(3, *parts[0].shape[1:-2], longest, parts[0].shape[-1], seed=99)
        for i, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            at = slice(longest - length, None) if side == "left" else slice(length)
            whole[i, ..., at, :] = part[0]
        padded.append(whole)
    places = torch.arange(longest).expand(3, -1)
    counts = torch.tensor(lengths)[:, None]
    valid = places >= longest - counts if side == "left" else places < counts
    q, k, v, leaving, reading = padded
    gates = net.fn.compute_gates(leaving)
    got, end = net.chunk(q, k, v, reading, gates=gates, valid=valid)
    for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        wanted, state = one_by_one(net, *row)
        at = slice(longest - length, None) if side == "left" else slice(length)
        assert (got[i, :, at] - wanted[0]).abs().max() < 1e-10
        assert (end[i] - state[0]).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_recurrence(kind: str) -> None:
    net, (q, k, v, leaving, reading) = network(kind), stream(1, 40)
    made = []
    for form in (run_recurrence, scan_chunks):
        inputs = [x.clone().requires_grad_() for x in (q, k, v, leaving)]
        gates = net.fn.compute_gates(inputs[3])
        state = net.new_state()
        out, _ = form(*inputs[:3], *gates, state, delta=net.fn.delta, scale=net.fn.scale)
        made.append(torch.autograd.grad((out * reading[0, :, :SIZE]).sum(), inputs))
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_strong_decay_overflows_nowhere(kind: str) -> None:
    net, (q, k, v, leaving, reading) = network(kind).float(), stream(1, 200)
    q, k, v, leaving, reading = (x.float() for x in (q, k, v, leaving, reading))
    decay, write = net.fn.compute_gates(leaving)
    out, state = net.chunk(q, k, v, reading, gates=(decay - 50, write))
    assert out.isfinite().all()
    assert state.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_network_adds_nothing(kind: str) -> None:
    net, (q, k, v, leaving, reading) = network(kind, silent=True), stream(2, 80)
    out, state = net.chunk(q, k, v, reading, gates=net.fn.compute_gates(leaving))
    assert not out.any()
    assert state.any()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="gdn, dn, mamba2"):
        ArtificialHippocampus(HEADS, SIZE, HIDDEN, "lstm")
