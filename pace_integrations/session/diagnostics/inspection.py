"""What a loaded model can tell of its memory and its modules: a part of `Pace`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pace_integrations.config import ExpertConfig, MemoryConfig, ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.memory import Calibration
from pace_integrations.model.engine import Engine
from pace_integrations.session.diagnostics.calibration import calibrate_memory
from pace_integrations.session.diagnostics.module_usage import ModuleUsage, measure_module_usage
from pace_integrations.session.read_job import Progress


class Inspection:
    """Measurements on a loaded model.

    Attributes:
        memory: Settings of the memory, or None where it is off.
        experts: How the neurons are divided into experts, or None where they are not.
    """

    _engine: Engine
    memory: MemoryConfig | None
    experts: ExpertConfig | None

    def module_usage(self, corpus: Corpus, *, progress: Progress | None = None) -> ModuleUsage:
        """Read a corpus and measure how strongly each module fires on each page.

        Args:
            corpus: What to read.
            progress: Called with tokens done and in all.

        Raises:
            ConfigError: The model was loaded without experts.
            DocumentError: There is nothing in the corpus.
            ContextOverflowError: It does not fit the model's context.
        """
        return measure_module_usage(
            self._engine, corpus, self.experts, read=ReadConfig(), progress=progress
        )

    def calibrate(
        self,
        corpus: Corpus,
        *,
        config: MemoryConfig | None = None,
        layers: Sequence[int] | None = None,
        tokens: int = 8192,
        progress: Callable[[str], None] | None = None,
    ) -> Calibration:
        """Find the layers and thresholds at which the memory suits a corpus and this model.

        Needs no questions and no answers: it keeps what lowers the next-token loss on the text, and
        keeps the memory off (``config`` is None) if the loss rises on text that chose nothing. The
        result prints as a table: ``Pace.load(name, memory=pace.calibrate(corpus).config)``.

        Args:
            corpus: Text such as will be read.
            config: Settings that are kept, such as the rule; None is this model's.
            layers: 0-based layers to try; None is every dense one.
            tokens: Most tokens to use, spread evenly over the corpus.
            progress: Called with what is done next.

        Raises:
            DocumentError: The corpus is too short.
            ConfigError: ``blend`` is 0.
        """
        return calibrate_memory(
            self._engine,
            corpus,
            config or self.memory or MemoryConfig(),
            tokens=tokens,
            layers=layers,
            progress=progress,
        )
