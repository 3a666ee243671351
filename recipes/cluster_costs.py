"""Say what a million tokens, and a billion, cost to read and to keep: bytes and CPU hours on paper.

    $ python -m recipes.cluster_costs
    | model | bytes for a token, bfloat16 / int8 | 10^6 tokens: kept, read on one core | 10^9 tokens: kept, read on 1,000 cores |
    |---|---|---|---|
    | SmolLM2-135M (pace-small) | 23,040 / 12,240 | 23 GB / 12 GB, 0.3 h | 23 TB / 12 TB, 0.3 h |
    | Qwen2.5-1.5B | 28,672 / 15,232 | 29 GB / 15 GB, 3.7 h | 29 TB / 15 TB, 3.7 h |
    | Qwen2.5-7B | 57,344 / 30,464 | 57 GB / 30 GB, 18.1 h | 57 TB / 30 TB, 18.1 h |

Bytes follow from the models' shapes (layers, key heads, size of a head), and were found so in a
library's files. Of the speeds that of pace-small was measured, in passages of about 140 tokens with
one thread in bfloat16; those of the others are the same arithmetic for more weights, not measured.
"""  # noqa: E501

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

MEASURED = 870.0  # tokens of pages that pace-small reads in a second of one core
GROUP = 16  # channels of a head that share a byte of scale in int8


@dataclass(frozen=True)
class Shape:
    """What of a model decides the costs.

    Attributes:
        name: Its name.
        weights: Number of its weights.
        layers: Number of layers.
        heads: Key heads of a layer.
        size: Channels of a head.
    """

    name: str
    weights: float
    layers: int
    heads: int
    size: int

    @property
    def channels(self) -> int:
        """Numbers that are kept of a token."""
        return 2 * self.layers * self.heads * self.size


SHAPES = (
    Shape("SmolLM2-135M (pace-small)", 134.5e6, 30, 3, 64),
    Shape("Qwen2.5-1.5B", 1.544e9, 28, 2, 128),
    Shape("Qwen2.5-7B", 7.616e9, 28, 4, 128),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=MEASURED, help="tokens/s of pace-small here")
    rate = parser.parse_args(argv).rate
    print(
        "| model | bytes for a token, bfloat16 / int8 | 10^6 tokens: kept, read on one core "
        "| 10^9 tokens: kept, read on 1,000 cores |"
    )
    print("|---|---|---|---|")
    for shape in SHAPES:
        full, packed = 2 * shape.channels, shape.channels + shape.channels // GROUP
        hours = 1e6 / (rate * SHAPES[0].weights / shape.weights) / 3600
        kept = [f"{full / 1000:.0f} {unit} / {packed / 1000:.0f} {unit}" for unit in ("GB", "TB")]
        print(
            f"| {shape.name} | {full:,} / {packed:,} "
            f"| {kept[0]}, {hours:.1f} h | {kept[1]}, {hours:.1f} h |"
        )


if __name__ == "__main__":
    main()
