"""How one question is asked of a library."""

from __future__ import annotations

from dataclasses import dataclass

from pace_integrations._checks import check_choice, is_whole
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import ConfigError
from pace_integrations.library.config import SelectorMaker
from pace_integrations.library.strategy import STRATEGIES, Strategy
from pace_integrations.library.turn import OnUnsupported


@dataclass(frozen=True, slots=True)
class AskSettings:
    """Options of `Library.ask` and of all its kin.

    Attributes:
        strategy: ``"each"`` asks the best passages one by one and takes the best answer,
            ``"together"`` puts them in one prompt, ``"auto"`` goes by the question.
        selector: What chooses them instead of the library's own selector.
        budget: Most tokens of passages in one prompt; None is a quarter of the context.
        passages: Most passages; None takes 5 one by one, and together what the budget holds.
        on_unsupported: ``"show"`` gives an answer that the pages do not support, marked so;
            ``"refuse"`` says that the documents do not say.
        search: Words that pages are looked for by, where the question also says how to answer;
            None takes those of the question.
        generation: Length, sampling and stop strings; the default is greedy.

    Raises:
        ConfigError: An option is of no known kind, or below 1.
    """

    strategy: Strategy = "auto"
    selector: str | SelectorMaker | None = None
    budget: int | None = None
    passages: int | None = None
    on_unsupported: OnUnsupported = "show"
    search: str | None = None
    generation: GenerationConfig | None = None

    def __post_init__(self) -> None:
        check_choice(self.strategy, STRATEGIES, "strategy")
        check_choice(self.on_unsupported, ("show", "refuse"), "on_unsupported")
        for name in ("budget", "passages"):
            value = getattr(self, name)
            if value is not None and not (is_whole(value) and value >= 1):
                raise ConfigError(f"{name} must be at least 1, got {value!r}")
