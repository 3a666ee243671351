"""The model: Qwen3 shape from Transformers, with a lean forward for training.

The forward computes the same function as Transformers' own over the same parameters, but casts
each weight once, fuses projections and gives logits only where there is loss; at this size the
element-wise work of the general implementation would cost most of the time.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from recipes.train_nano.tokenizer import END_OF_TEXT, PADDING, TURN_END

HEAD = 64
THETA = 1_000_000.0
EPSILON = 1e-6
SHARPNESS = 1.5  # Attention that starts sharper learns to look up sooner.


@dataclass(frozen=True)
class Shape:
    """Size of a model.

    Args:
        hidden: Width of the residual stream.
        layers: Number of blocks.
        feed_forward: Width inside the feed-forward blocks.
        heads: Number of query heads of 64.
        kv_heads: Number of key and value heads.
    """

    hidden: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int


SHAPES = {
    "smoke": Shape(hidden=64, layers=2, feed_forward=128, heads=2, kv_heads=1),
    "tiny": Shape(hidden=192, layers=4, feed_forward=384, heads=4, kv_heads=2),
    "small": Shape(hidden=384, layers=12, feed_forward=1024, heads=6, kv_heads=2),
}


def configuration(shape: Shape, vocabulary: int) -> Qwen3Config:
    """Describe the model to Transformers."""
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=HEAD,
        max_position_embeddings=32768,
        rms_norm_eps=EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=True,
        bos_token_id=END_OF_TEXT,
        eos_token_id=TURN_END,
        pad_token_id=PADDING,
    )


def build(shape: Shape, vocabulary: int, seed: int) -> PreTrainedModel:
    """Make an untrained model."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        configuration(shape, vocabulary), dtype=torch.float32
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=_deviation(name, weight, shape.layers))
            elif "q_norm" in name or "k_norm" in name:
                weight.fill_(SHARPNESS)
    return model


def _deviation(name: str, weight: Tensor, layers: int) -> float:
    width = weight.shape[1]
    if "embed" in name:
        return 0.0025 * math.sqrt(width)
    into_residual = "o_proj" in name or "down_proj" in name
    return 1 / math.sqrt(width * (2 * layers if into_residual else 1))


def rotation(length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines of the rotary embedding, `(length, HEAD)` each."""
    frequency = THETA ** (-torch.arange(0, HEAD, 2, device=device).float() / HEAD)
    angle = torch.outer(torch.arange(length, device=device).float(), frequency)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


def normalised(x: Tensor, weight: Tensor) -> Tensor:
    """Root-mean-square norm, computed in float32."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON)).to(x.dtype) * weight


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to `(batch, heads, length, HEAD)`."""
    return x * cos + torch.roll(x, HEAD // 2, -1) * sin


class Trunk(nn.Module):
    """The lean forward over the parameters of a Transformers model.

    Args:
        model: The model whose parameters are used.
        dtype: Type to compute in.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._weights = {n.removesuffix(".weight"): p for n, p in model.named_parameters()}
        self._layers = sum(name.endswith("q_proj") for name in self._weights)
        self._dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        """Return the final hidden states of `(batch, length)` token ids."""
        turn = rotation(ids.shape[1], ids.device, self._dtype)
        x = nn.functional.embedding(ids, self._weights["model.embed_tokens"]).to(self._dtype)
        for i in range(self._layers):
            layer = f"model.layers.{i}"
            x = x + self._attend(
                f"{layer}.self_attn", self._norm(x, f"{layer}.input_layernorm"), turn
            )
            x = x + self._feed(f"{layer}.mlp", self._norm(x, f"{layer}.post_attention_layernorm"))
        return self._norm(x, "model.norm")

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return normalised(x, self._weights[name].to(self._dtype))

    def _project(self, x: Tensor, *names: str) -> tuple[Tensor, ...]:
        """Apply several projections as one."""
        weights: list[Tensor] = [self._weights[name] for name in names]
        fused = torch.cat(weights).to(self._dtype)
        return torch.split(x @ fused.t(), [w.shape[0] for w in weights], -1)

    def _attend(self, block: str, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            t.view(batch, length, -1, HEAD).transpose(1, 2)
            for t in self._project(x, f"{block}.q_proj", f"{block}.k_proj", f"{block}.v_proj")
        )
        q = rotated(self._norm(q, f"{block}.q_norm"), *turn)
        k = rotated(self._norm(k, f"{block}.k_norm"), *turn)
        # Grouped heads are repeated by hand: the fast kernels of the CPU know only equal counts.
        groups = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        return self._project(mixed, f"{block}.o_proj")[0]

    def _feed(self, block: str, x: Tensor) -> Tensor:
        gate, up = self._project(x, f"{block}.gate_proj", f"{block}.up_proj")
        return self._project(nn.functional.silu(gate) * up, f"{block}.down_proj")[0]
