"""Which modules a corpus uses: mean absolute activation per module and page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pace_integrations._plots import make_figure
from pace_integrations.config import ExpertConfig, ReadConfig
from pace_integrations.documents import Corpus, Document
from pace_integrations.errors import ConfigError
from pace_integrations.experts.activation_meters import UsageMeter
from pace_integrations.feed_forward import find_blocks
from pace_integrations.model.engine import Engine
from pace_integrations.session.citations import Passage
from pace_integrations.session.read_job import ReadJob
from pace_integrations.session.state import ReadState, number_passages


@dataclass(frozen=True, slots=True)
class Specific:
    """A module that a document uses more than others do.

    Attributes:
        layer: 0-based layer.
        module: 0-based module in it.
        usage: Mean absolute activation on the document's tokens.
        times: How many times as strong that is as on the other documents; where there is only
            one, as the mean module of the layer.
    """

    layer: int
    module: int
    usage: float
    times: float


@dataclass(frozen=True)
class ModuleUsage:
    """How strongly modules fire, page by page.

    Attributes:
        layers: 0-based layers.
        experts: Modules per layer.
        passages: The pages.
        tokens: Tokens of each page.
        mean: Mean absolute activation ``(layers, pages, experts)``.
    """

    layers: tuple[int, ...]
    experts: int
    passages: tuple[Passage, ...]
    tokens: tuple[int, ...]
    mean: Tensor

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order in which they were read."""
        return tuple({id(p.document): p.document for p in self.passages}.values())

    def of(self, document: Document) -> Tensor:
        """Mean absolute activation over a document's tokens ``(layers, experts)``."""
        return self._mean_over([p.document is document for p in self.passages])

    def specific(self, document: Document, top: int = 5) -> list[Specific]:
        """Return the modules that tell a document from the others, the most telling first."""
        own = self.of(document)
        if len(self.documents) > 1:
            other = self._mean_over([p.document is not document for p in self.passages])
        else:
            other = own.mean(1, keepdim=True).expand_as(own)
        # A module that is nearly silent everywhere says little, whatever the ratio.
        floor = 0.05 * own.median(1, keepdim=True).values.clamp(min=1e-12)
        times = (own + floor) / (other + floor)
        order = times.flatten().argsort(descending=True, stable=True)[:top].tolist()
        places = [divmod(place, self.experts) for place in order]
        return [
            Specific(self.layers[i], m, float(own[i, m]), float(times[i, m])) for i, m in places
        ]

    def to_dict(self, top: int = 5) -> dict[str, Any]:
        """As JSON-ready values: per document its most specific modules, per page all of them."""
        return {
            "experts": self.experts,
            "layers": [*self.layers],
            "documents": [
                {
                    "id": document.id,
                    "title": document.title,
                    "specific": [asdict(module) for module in self.specific(document, top)],
                }
                for document in self.documents
            ],
            "pages": [
                {
                    "document": p.document.id,
                    "page": p.page.index,
                    "tokens": tokens,
                    "usage": [[round(v, 6) for v in row] for row in self.mean[:, i].tolist()],
                }
                for i, (p, tokens) in enumerate(zip(self.passages, self.tokens, strict=True))
            ],
        }

    def plot(self, file: Path) -> None:
        """Draws the modules against the pages, a panel per layer, as a PNG.

        Raises:
            MissingExtraError: The ``eval`` extra is not installed.
        """
        columns = min(len(self.layers), 4)
        rows = math.ceil(len(self.layers) / columns)
        figure = make_figure(3.2 * columns + 1, 2.6 * rows + 0.6, purpose="the heat map")
        panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for panel, layer, mean in zip(panels, self.layers, self.mean, strict=False):
            shown = self._draw_panel(panel, mean)
            panel.set_title(f"layer {layer}", fontsize=9)
        for panel in panels[len(self.layers) :]:
            panel.set_axis_off()
        figure.colorbar(shown, ax=panels, label="log2 of usage over the module's mean")
        figure.savefig(file)

    def _draw_panel(self, panel: Any, mean: Tensor) -> Any:  # noqa: ANN401 - matplotlib's types
        """Draws one layer ``(pages, experts)``; pages carry the numbers the model sees."""
        typical = mean.mean(0, keepdim=True).clamp(min=1e-12)
        shown = panel.imshow(
            (mean / typical).log2().T.clamp(-1, 1).numpy(),
            aspect="auto",
            interpolation="nearest",
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            extent=(0.5, len(mean) + 0.5, self.experts - 0.5, -0.5),
        )
        panel.set_xlabel("page, in reading order", fontsize=8)
        panel.set_ylabel("module", fontsize=8)
        panel.locator_params(axis="x", integer=True)
        for border in self._document_borders():
            panel.axvline(border + 0.5, color="black", linewidth=0.6)
        return shown

    def _document_borders(self) -> Iterator[int]:
        """Places where another document begins."""
        for i, passage in enumerate(self.passages[1:], 1):
            if passage.document is not self.passages[i - 1].document:
                yield i

    def _mean_over(self, chosen: Sequence[bool]) -> Tensor:
        """Mean over the tokens of some pages ``(layers, experts)``."""
        weights = self.mean.new_tensor(
            [t if c else 0 for t, c in zip(self.tokens, chosen, strict=True)]
        )
        weighted: Tensor = (self.mean * weights[:, None]).sum(1) / weights.sum().clamp(min=1)
        return weighted


def measure_module_usage(
    engine: Engine,
    corpus: Corpus,
    config: ExpertConfig | None,
    *,
    read: ReadConfig,
    progress: Callable[[int, int], None] | None = None,
) -> ModuleUsage:
    """Read a corpus and watches the modules; see `Pace.module_usage`."""
    if config is None:
        raise ConfigError("the model has no modules: load it with Pace.load(experts=...)")
    reading = ReadJob(engine, ReadState(engine.new_context()), corpus, read)
    passages = number_passages(corpus)
    prompts = engine.prompts
    tokens = [
        len(prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text))
        for p in passages
    ]
    blocks = find_blocks(engine.loaded.model, config.layers)
    meter = UsageMeter(blocks, config.experts, [len(prompts.encode_prefix()), *tokens])
    with closing(engine.thread.stream(_meter_steps(reading.read_chunks(), meter))) as steps:
        for done in steps:
            if progress:
                progress(done, len(reading.ids))
    layers = tuple(block.layer for block in blocks)
    return ModuleUsage(layers, config.experts, passages, tuple(tokens), meter.mean[:, 1:])


def _meter_steps(work: Iterator[int], meter: UsageMeter) -> Iterator[int]:
    """Do the work with the meter on, and off between its steps, when others use the model."""
    while True:
        with meter.watch_forwards():
            done = next(work, None)
        if done is None:
            return
        yield done
