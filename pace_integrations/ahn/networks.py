"""The recurrent networks of AHN, one for each decoder layer, with the published parameter names.

Equations follow the authors' code where it differs from the paper: keys and queries are normalized,
what is read is normalized per head and gated by the current token, and a zero-initialized map per
head puts it back into the attention's output. There it is added before the layer's own projection.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pace_integrations.ahn.recurrence import run_recurrence, scan_chunks
from pace_integrations.errors import ConfigError


class GroupLinear(nn.Module):
    """One square matrix per head, zero at the start, so that an untrained network adds nothing."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(heads, size, size))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, heads, tokens, size)`` head by head."""
        return x @ self.weight


class _Norm(nn.Module):
    """The weight of a root-mean-square norm, under the name that checkpoints have."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class RecurrentNetwork(nn.Module, ABC):
    """What is particular to one kind of network: its gates, norms and parameters.

    Args:
        heads: Query heads H of the layer.
        head_dim: Size d of a head.
        hidden: Width D of the model.
    """

    upstream = ""  # the authors' name
    delta = True

    def __init__(self, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.hidden = heads, head_dim, hidden
        self.o_proj = GroupLinear(heads, head_dim)

    @property
    def scale(self) -> float:
        """Factor of what is read."""
        return float(self.head_dim**-0.5)

    @abstractmethod
    def compute_gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how tokens will be written once they leave the window.

        Args:
            x: What the layer's attention gets ``(batch, tokens, D)``.

        Returns:
            Decay, a logarithm, and strength ``(batch, heads, tokens)``.
        """

    @abstractmethod
    def gate_output(self, out: Tensor, x: Tensor) -> Tensor:
        """Normalize what was read ``(batch, heads, tokens, d)`` and gate it by the reading tokens.

        Args:
            out: What the queries read.
            x: What the attention gets for the tokens that read ``(batch, tokens, D)``.
        """

    def normalize(self, x: Tensor) -> Tensor:
        """Return keys or queries of length one."""
        return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()


class GatedDeltaNet(RecurrentNetwork):
    """The delta rule with decay (arXiv 2412.06464)."""

    upstream = "GatedDeltaNet"

    def __init__(self, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__(heads, head_dim, hidden)
        # Never zero: its logarithm would forget nothing and get no gradient.
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1e-2, 16).log())
        self.D = nn.Parameter(torch.ones(heads))  # in the checkpoints, and used by nothing
        self.dt_bias = nn.Parameter(_draw_steps(heads))
        self.a_proj = nn.Linear(hidden, heads, bias=False)
        self.b_proj = nn.Linear(hidden, heads, bias=False)
        self.g_proj = nn.Linear(hidden, heads, bias=False)
        self.o_norm = _Norm(head_dim)

    def compute_gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return decay and strength of tokens (see the base class)."""
        x = x.to(self.dt_bias.dtype)
        decay = -self.A_log.exp() * nn.functional.softplus(self.a_proj(x) + self.dt_bias)
        return decay.mT, self.b_proj(x).sigmoid().mT

    def gate_output(self, out: Tensor, x: Tensor) -> Tensor:
        """Normalize what was read per head, and gate it."""
        gate = nn.functional.silu(self.g_proj(x)).mT[..., None]
        return nn.functional.rms_norm(out, (self.head_dim,), self.o_norm.weight, 1e-5) * gate


class DeltaNet(RecurrentNetwork):
    """The delta rule (arXiv 2406.06484): nothing is forgotten but what is written over."""

    upstream = "DeltaNet"

    def __init__(self, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__(heads, head_dim, hidden)
        self.b_proj = nn.Linear(hidden, heads, bias=False)
        self.g_proj = nn.Linear(hidden, heads, bias=False)
        self.o_norm = _Norm(head_dim)

    def compute_gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return decay, which is none, and strength of tokens (see the base class)."""
        write = self.b_proj(x.to(self.b_proj.weight.dtype)).sigmoid().mT
        return torch.zeros_like(write), write

    def gate_output(self, out: Tensor, x: Tensor) -> Tensor:
        """Normalize what was read per head, and gate it."""
        gate = nn.functional.silu(self.g_proj(x)).mT[..., None]
        return nn.functional.rms_norm(out, (self.head_dim,), self.o_norm.weight, 1e-5) * gate


class Mamba2(RecurrentNetwork):
    """Mamba 2's recurrence (arXiv 2405.21060): what is written is added."""

    upstream = "Mamba2"
    delta = False

    def __init__(self, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__(heads, head_dim, hidden)
        self.A_log = nn.Parameter(torch.arange(1.0, heads + 1).log())
        self.dt_bias = nn.Parameter(_draw_steps(heads))
        self.dt_proj = nn.Linear(hidden, heads)
        self.g_proj = nn.Linear(hidden, heads)
        self.norm = _Norm(heads * head_dim)

    @property
    def scale(self) -> float:
        """Factor of what is read: none."""
        return 1.0

    def normalize(self, x: Tensor) -> Tensor:
        """Return keys or queries of length one."""
        return nn.functional.normalize(x, dim=-1, eps=1e-12)

    def compute_gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return decay and strength of tokens (see the base class)."""
        steps = nn.functional.softplus(self.dt_proj(x.to(self.dt_bias.dtype)) + self.dt_bias)
        return (-self.A_log.exp() * steps).mT, steps.mT

    def gate_output(self, out: Tensor, x: Tensor) -> Tensor:
        """Gate what was read, then normalize it over all heads together."""
        whole = (out * nn.functional.silu(self.g_proj(x)).mT[..., None]).transpose(1, 2).flatten(2)
        whole = nn.functional.rms_norm(whole, (self.heads * self.head_dim,), self.norm.weight, 1e-5)
        split: Tensor = whole.unflatten(2, (self.heads, self.head_dim))
        return split.transpose(1, 2)


KINDS: Mapping[str, type[RecurrentNetwork]] = {
    "gdn": GatedDeltaNet,
    "dn": DeltaNet,
    "mamba2": Mamba2,
}
"""The kinds of networks by name."""


class ArtificialHippocampus(nn.Module):
    """The network of one decoder layer.

    It works in the type of its weights. The state is ``(batch, heads, d, d)``, keys by values.

    Args:
        heads: Query heads of the layer.
        head_dim: Size d of a head.
        hidden: Width D of the model.
        kind: One of `KINDS`.

    Attributes:
        fn: The recurrent network, under the name that checkpoints have.

    Raises:
        ConfigError: There is no such kind.
    """

    def __init__(self, heads: int, head_dim: int, hidden: int, kind: str = "gdn") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"no AHN is called {kind!r}; there are {', '.join(KINDS)}")
        self.fn = KINDS[kind](heads, head_dim, hidden)

    def new_state(self, batch: int = 1) -> Tensor:
        """Return an empty state."""
        network, weight = self.fn, self.fn.o_proj.weight
        return weight.new_zeros(batch, network.heads, network.head_dim, network.head_dim)

    def chunk(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x: Tensor,
        state: Tensor | None = None,
        *,
        gates: tuple[Tensor, Tensor] | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take in tokens that leave the window, and read for the tokens that push them out.

        Args:
            q: Queries of the reading tokens ``(batch, heads, tokens, d)``, with their positions.
            k: Keys of the leaving tokens, one for each query ``(batch, heads, tokens, d)``.
            v: Their values.
            x: What the attention gets for the reading tokens ``(batch, tokens, D)``.
            state: What left before; None is nothing. It is left as it is.
            gates: What `fn.compute_gates` gave for the leaving tokens; None where these are the
                reading tokens themselves.
            valid: False where a leaving token is padding ``(batch, tokens)``.

        Returns:
            What is added to the attention's output ``(batch, heads, tokens, d)``, and the state.
        """
        network, dtype = self.fn, self.fn.o_proj.weight.dtype
        decay, write = network.compute_gates(x) if gates is None else gates
        if valid is not None:
            decay, write = (gate * valid[:, None].to(gate.dtype) for gate in (decay, write))
        form = run_recurrence if k.shape[2] == 1 else scan_chunks
        out, state = form(
            network.normalize(q.to(dtype)),
            network.normalize(k.to(dtype)),
            v.to(dtype),
            decay,
            write,
            self.new_state(k.shape[0]) if state is None else state,
            delta=network.delta,
            scale=network.scale,
        )
        return network.o_proj(network.gate_output(out, x.to(dtype))), state

    def step(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x: Tensor,
        state: Tensor | None = None,
        *,
        gates: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Do as `chunk` for one token, whose tensors have no axis of tokens."""
        gates = None if gates is None else (gates[0][..., None], gates[1][..., None])
        q, k, v = (tensor[:, :, None] for tensor in (q, k, v))
        out, state = self.chunk(q, k, v, x[:, None], state, gates=gates)
        return out[:, :, 0], state


def _draw_steps(heads: int) -> Tensor:
    """Return biases whose softplus is drawn between 0.001 and 0.1, evenly in the logarithm."""
    low, high = math.log(1e-3), math.log(1e-1)
    steps = torch.empty(heads).uniform_(low, high).exp()
    return steps + (-torch.expm1(-steps)).log()  # the inverse of softplus
