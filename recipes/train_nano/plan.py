"""What is trained when: stages of growing length, and the learning rate."""

from dataclasses import dataclass, replace

from recipes.train_nano.compose import Mix


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Args:
        steps: Number of steps.
        lengths: Tokens of a row, in turn from step to step.
        mix: Kinds of rows.
    """

    steps: int
    lengths: tuple[int, ...]
    mix: Mix


@dataclass(frozen=True)
class Plan:
    """A whole training.

    Args:
        stages: Stages in order; the last one goes on for as long as steps are asked for.
        tokens: Tokens of a step.
        rate: Learning rate of the matrices.
        warm_up: Steps until the full rate is reached.
        decay: Steps at the end over which the rate falls to zero.
        steps: Steps in all.
    """

    stages: tuple[Stage, ...]
    tokens: int
    rate: float
    warm_up: int
    decay: int
    steps: int

    def stage(self, step: int) -> Stage:
        """Return the stage of a step."""
        end = 0
        for stage in self.stages:
            end += stage.steps
            if step < end:
                return stage
        return self.stages[-1]

    def length(self, step: int) -> int:
        """Tokens of each row of a step."""
        lengths = self.stage(step).lengths
        return lengths[step % len(lengths)]

    def factor(self, step: int) -> float:
        """Share of the full learning rate at a step."""
        rise = min(1.0, (step + 1) / self.warm_up)
        fall = min(1.0, (self.steps - step) / max(1, self.decay))
        return min(rise, max(0.02, fall))


LATE = Mix({"cite": 0.15, "pairs": 0.06, "facts": 0.25, "mixed": 0.5, "prose": 0.04})
LONG = Mix({"cite": 0.08, "pairs": 0.12, "facts": 0.2, "mixed": 0.56, "prose": 0.04})
TINY = Plan(
    stages=(
        Stage(300, (128,), Mix({"copy": 0.6, "facts": 0.4}, bare=1.0)),
        Stage(900, (128,), Mix({"copy": 0.2, "facts": 0.8}, bare=1.0)),
        Stage(700, (256, 192), Mix({"copy": 0.05, "facts": 0.7, "mixed": 0.25}, bare=0.4)),
        Stage(1300, (512, 256), Mix({"pairs": 0.06, "facts": 0.4, "mixed": 0.52, "prose": 0.02})),
        Stage(700, (1024, 512, 256), LATE),
        Stage(700, (256, 512, 256, 1024), Mix({"cite": 0.4, "facts": 0.35, "mixed": 0.25})),
        Stage(1100, (1024, 512, 256, 2048), LATE),
        Stage(9000, (2048, 512, 4096, 256), LONG),
    ),
    tokens=4096,
    rate=4e-3,
    warm_up=60,
    decay=1500,
    steps=40000,
)
SMALL = Plan(
    stages=(
        Stage(200, (128,), Mix({"copy": 0.4, "facts": 0.6}, bare=1.0)),
        Stage(300, (256,), Mix({"copy": 0.05, "facts": 0.7, "mixed": 0.25}, bare=0.4)),
        Stage(500, (512, 256), LATE),
        Stage(800, (1024, 2048, 512), LATE),
        Stage(9000, (4096, 2048, 8192, 1024), LATE),
    ),
    tokens=262_144,
    rate=4e-3,
    warm_up=60,
    decay=500,
    steps=2400,
)
SMOKE = Plan(
    stages=(
        Stage(2, (64,), Mix({"copy": 1.0})),
        Stage(9, (128, 256), Mix({"pairs": 0.2, "facts": 0.4, "mixed": 0.3, "prose": 0.1})),
    ),
    tokens=512,
    rate=4e-3,
    warm_up=2,
    decay=2,
    steps=8,
)
PLANS = {"smoke": SMOKE, "tiny": TINY, "small": SMALL}


def shortened(plan: Plan, steps: int | None, decay: int | None) -> Plan:
    """Return the plan with another end."""
    steps = plan.steps if steps is None else steps
    return replace(plan, steps=steps, decay=plan.decay if decay is None else decay)
