"""Compute what reading costs with full attention and with AHN: operations and bytes of the cache.

python -m recipes.train_ahn.costs

Operations are those of one prefill over all tokens, two per multiplication and addition; softmax,
norms and the head of the vocabulary are left out. Keys and values have two bytes, states four.
"""

from dataclasses import dataclass

from pace_integrations.ahn import AHNConfig, ArtificialHippocampus

LENGTHS = (8192, 32768, 131072)


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder.

    Attributes:
        name: Its name.
        layers: Decoder layers.
        hidden: Width.
        heads: Query heads.
        groups: Key heads.
        size: Size of a head.
        feed_forward: Width of the gated feed-forward blocks.
        config: Sinks and window.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    groups: int
    size: int
    feed_forward: int
    config: AHNConfig

    @property
    def linear(self) -> int:
        """Operations of one token in the linear maps of a layer."""
        attention = 2 * self.hidden * self.size * (self.heads + self.groups)
        return 2 * (attention + 3 * self.hidden * self.feed_forward)

    @property
    def recurrent(self) -> int:
        """Operations of one token in the network of a layer, as a token recurrence."""
        state = self.heads * self.size**2
        gates = 3 * self.hidden * self.heads
        return 2 * (4 * state + gates)  # find, write, read, and the map back

    def count_operations(self, tokens: int, *, ahn: bool) -> int:
        """Return the operations of a prefill."""
        seen = tokens * (tokens + 1) // 2
        gone = max(0, tokens - self.config.lossless)
        if ahn:
            seen -= gone * (gone + 1) // 2
        attention = 4 * self.heads * self.size * seen
        return self.layers * (tokens * self.linear + attention + ahn * gone * self.recurrent)

    def count_bytes(self, tokens: int, *, ahn: bool) -> int:
        """Return the bytes of what is held after a prefill."""
        held = min(tokens, self.config.lossless) if ahn else tokens
        pairs = 2 * 2 * self.groups * self.size * held
        state = 4 * self.heads * self.size**2
        gates = 4 * 2 * self.heads * min(tokens, self.config.window)
        return self.layers * (pairs + ahn * (state + gates))

    def count_parameters(self) -> int:
        """Return the trainable numbers of all networks."""
        network = ArtificialHippocampus(self.heads, self.size, self.hidden, self.config.kind)
        return self.layers * sum(p.numel() for p in network.parameters())


SHAPES = (
    Shape("pace-small", 30, 576, 9, 3, 64, 1536, AHNConfig("gdn", 16, 1008)),
    Shape("Qwen2.5-3B", 36, 2048, 16, 2, 128, 11008, AHNConfig("gdn", 128, 32640)),
    Shape("Qwen2.5-7B", 28, 3584, 28, 4, 128, 18944, AHNConfig("gdn", 128, 32640)),
)


def main() -> None:
    """Print the table."""
    print("| model | lossless | tokens | operations | of full | cache | of full |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for tokens in LENGTHS:
            work, full = (shape.count_operations(tokens, ahn=on) for on in (True, False))
            held, whole = (shape.count_bytes(tokens, ahn=on) for on in (True, False))
            print(
                f"| {shape.name} | {shape.config.lossless:,} | {tokens:,} | {work / 1e12:,.1f} T "
                f"| {work / full:.1%} | {held / 2**20:,.0f} MiB | {held / whole:.1%} |"
            )


if __name__ == "__main__":
    main()
