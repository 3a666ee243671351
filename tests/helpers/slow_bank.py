"""The rules, token by token in float64: written from their table, for comparison only."""

from __future__ import annotations

import numpy as np

from pace_integrations.config import MemoryConfig

GRID = 2.0**20


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


class SlowBank:
    """One sequence's bank. `margin` is how close a decision came to going the other way."""

    def __init__(self, features: int, config: MemoryConfig) -> None:
        self.config = config
        self.keys = np.zeros((config.slots, features))
        self.values = np.zeros((config.slots, features))
        self.usage = [0] * config.slots
        self.written = [-1] * config.slots
        self.filled = 0
        self.margin = np.inf

    def near(self, distance: float) -> None:
        self.margin = min(self.margin, abs(distance))

    def nearest(self, similarities: list[float], count: int, sign: int) -> list[int]:
        """Slots in order of similarity; those equal to about a millionth keep slot order."""
        grid = [round(s * GRID) for s in similarities]
        order = sorted(range(len(grid)), key=lambda i: (-sign * grid[i], i))
        for inside in order[:count]:
            for outside in order[count:]:
                gap = abs(similarities[inside] - similarities[outside])
                if gap > 1e-5:
                    continue
                # A tie holds only if rounding keeps both on the same grid point.
                for s in (similarities[inside], similarities[outside]):
                    off = abs(s * GRID - round(s * GRID))
                    self.near(1.0 if gap < 1e-12 and off < 0.25 else 0.0)
        return order[:count]

    def look(self, x: np.ndarray) -> tuple[np.ndarray, list[int], float]:
        c = self.config
        if self.filled == 0:
            return x, [], -np.inf
        similarities = [cosine(x, key) for key in self.keys[: self.filled]]
        top = self.nearest(similarities, min(c.top_k, self.filled), 1)
        low = self.nearest(similarities, min(c.bottom_k, self.filled), -1)
        positive = sum(self.values[i] for i in top) / len(top)
        negative = sum(self.values[i] for i in low) / len(low)
        s, t = max(similarities), sum(similarities[i] for i in top) / len(top)
        for theta in (c.theta_low, c.theta_high):
            self.near(s - theta)
            self.near(t - theta)
        if s > c.theta_high:
            r = positive + c.negative_weight * negative
        elif s > c.theta_low:
            r = self.between(positive, x) + c.negative_weight * negative
        else:
            r = x
        out = (1 - c.blend) * x + c.blend * r
        length, wanted = np.sqrt(out @ out), np.sqrt(x @ x)
        if c.preserve_norm and s > c.theta_low and wanted > 0:
            # Scaling up what all but cancelled would scale up its rounding too.
            self.near(0.0 if length < 0.05 * wanted else 1.0)
            out = out * (wanted / length)
        return out, top, t

    def between(self, positive: np.ndarray, x: np.ndarray) -> np.ndarray:
        return positive / 2

    def step(self, tokens: np.ndarray, position: int) -> np.ndarray:
        c = self.config
        tokens = tokens.astype(np.float64)
        looks = [self.look(x) for x in tokens]
        outs = [out for out, _, _ in looks]
        middle = [i for i, (_, _, t) in enumerate(looks) if c.theta_low < t <= c.theta_high]
        novel = [i for i, (_, _, t) in enumerate(looks) if t <= c.theta_low]
        if middle:
            touched = sorted({slot for i in middle for slot in looks[i][1]})
            mean_x = sum(tokens[i] for i in middle) / len(middle)
            mean_out = sum(outs[i] for i in middle) / len(middle)
            for slot in touched:
                self.keys[slot] = c.momentum * self.keys[slot] + (1 - c.momentum) * mean_x
                self.values[slot] = c.momentum * self.values[slot] + (1 - c.momentum) * mean_out
                self.usage[slot] += 1
                self.written[slot] = position + middle[-1]
        free = list(range(self.filled, c.slots))
        used = sorted(range(self.filled), key=lambda slot: (self.usage[slot], slot))
        for i, slot in zip(novel, free + used, strict=False):
            self.keys[slot], self.values[slot] = tokens[i], outs[i]
            self.usage[slot], self.written[slot] = 1, position + i
        self.filled = min(c.slots, self.filled + len(novel))
        return np.array(outs).reshape(tokens.shape)


class SlowPaperBank(SlowBank):
    """Algorithm 1 as printed: one decision and one mean per step."""

    def between(self, positive: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (positive + x) / 2

    def step(self, tokens: np.ndarray, position: int) -> np.ndarray:
        c = self.config
        tokens = tokens.astype(np.float64)
        looks = [self.look(x) for x in tokens]
        outs = np.array([out for out, _, _ in looks])
        mean, mean_out = tokens.mean(0), outs.mean(0)
        t = sum(t for _, _, t in looks) / len(looks)
        for theta in (c.theta_low, c.theta_high):
            self.near(t - theta)
        average = [
            sum(cosine(x, key) for x in tokens) / len(tokens) for key in self.keys[: self.filled]
        ]
        if t > c.theta_low:
            for slot in self.nearest(average, min(c.top_k, self.filled), 1):
                self.usage[slot] += 1
                if t <= c.theta_high:
                    self.keys[slot] = (self.keys[slot] + mean) / 2
                    self.values[slot] = (self.values[slot] + mean) / 2
                    self.written[slot] = position + len(tokens) - 1
        else:
            slot = min(range(c.slots), key=lambda i: (self.usage[i], i))
            self.keys[slot], self.values[slot], self.usage[slot] = mean, mean_out, 1
            self.written[slot] = position + len(tokens) - 1
            self.filled = max(self.filled, slot + 1)
        return outs


class SlowSlotwiseBank(SlowPaperBank):
    """Unchanged activations: the mutually different enter, the stale leave at a fixed pace."""

    def ordered(
        self, items: list[int], value: dict[int, float], tie: dict[int, float]
    ) -> list[int]:
        """Items by value; values equal to about a millionth go by `tie`."""
        for i in items:
            for j in items:
                gap = abs(value[i] - value[j]) if value[i] != value[j] else 0.0
                off = max(abs(value[k] * GRID - round(value[k] * GRID)) for k in (i, j))
                if i != j and gap < 1e-5 and not (gap < 1e-12 and off < 0.25):
                    self.near(0.0)
        return sorted(items, key=lambda i: (round(value[i] * GRID), tie[i]))

    def step(self, tokens: np.ndarray, position: int) -> np.ndarray:
        c, end = self.config, position + len(tokens)
        tokens = tokens.astype(np.float64)
        outs, best = [], {}
        for i, x in enumerate(tokens):
            outs.append(self.look(x)[0])
            similarities = [cosine(x, key) for key in self.keys[: self.filled]]
            best[i] = max(similarities, default=-2.0)
            if best[i] > c.theta_low:
                self.usage[self.nearest(similarities, 1, 1)[0]] += 1
        entering = self.entering(tokens, best)
        room = c.slots - self.filled + end * c.slots // c.horizon - position * c.slots // c.horizon
        slots = [*range(self.filled, c.slots), *self.stalest(end)]
        for token, slot in zip(entering[:room], slots, strict=False):
            self.keys[slot], self.values[slot] = tokens[token], outs[token]
            self.usage[slot], self.written[slot] = 1, position + token
            self.filled = max(self.filled, slot + 1)
        return np.array(outs)

    def entering(self, tokens: np.ndarray, best: dict[int, float]) -> list[int]:
        spread = {i: ((i + 1) * 0.6180339887498949) % 1.0 for i in range(len(tokens))}
        pool = self.ordered([i for i in best if tokens[i].any()], best, spread)
        pool = pool[: 2 * self.config.slots]
        novelty = {
            i: max([best[i], *(cosine(tokens[i], tokens[j]) for j in pool[:p])])
            for p, i in enumerate(pool)
        }
        for value in novelty.values():
            self.near(value - self.config.theta_high)
        order = self.ordered(pool, novelty, {i: p for p, i in enumerate(pool)})
        return [i for i in order if novelty[i] <= self.config.theta_high]

    def stalest(self, end: int) -> list[int]:
        filled = range(self.filled)
        age = {j: end - self.written[j] for j in filled}
        rate = sorted(filled, key=lambda j: (self.usage[j] / age[j], j))
        last = max(self.config.slots - 1, 1)
        stale = {j: age[j] * (2 * last - r) for r, j in enumerate(rate)}
        return sorted(filled, key=lambda j: (-stale[j], j))


SLOW_BANKS: dict[str, type[SlowBank]] = {
    "released": SlowBank,
    "paper": SlowPaperBank,
    "slotwise": SlowSlotwiseBank,
}
