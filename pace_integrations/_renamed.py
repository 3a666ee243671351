"""Modules and names of version 0.1 that are called otherwise now, kept for one release.

Each is found where it was and says in a `DeprecationWarning` what to write instead. Knows names
alone: what they stand for is imported when it is asked for.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pkgutil import resolve_name
from types import ModuleType

_PACKAGE = "pace_integrations"

# Below the package, as everything here: the module that was, and the one that is.
MODULES = {
    "blocks": "feed_forward",
    "documents.kinds": "documents.formats.sniffing",
    "documents.paths": "documents.discovery",
    "documents.sentences": "documents.quotes.sentences",
    "experts.reorder": "experts.reordering",
    "experts.switch": "experts.masking",
    "experts.watch": "experts.activation_meters",
    "langchain.fields": "langchain.errors",
    "langchain.loaders": "langchain.document_loaders",
    "llama_index.corpus_tool": "llama_index.agents",
    "memory.automatic": "memory.transformers_patch",
    "memory.calibrate": "memory.calibration.search",
    "memory.paper": "memory.rules.paper",
    "memory.released": "memory.rules.released",
    "memory.slotwise": "memory.rules.slotwise",
    "session.memory_report": "session.diagnostics.memory_report",
    "session.modules": "session.diagnostics.module_usage",
    "store.sessions": "store.store",
}

# The name in the module where it was found, and what it is now.
NAMES = {
    "config.KeysAndValues": "config:KvDtype",
    "documents.Reader": "documents:Parser",
    "documents.Reading": "documents:ParseResult",
    "documents.kinds.kind_of": "documents.formats.sniffing:detect_format",
    "documents.paths.expand": "documents.discovery:expand_paths",
    "documents.sentences.sentences": "documents.quotes.sentences:split_sentences",
    "documents.types.Job": "documents.formats.registry:ParseJob",
    "documents.types.PagedReader": "documents.formats.registry:Parser",
    "documents.types.Reader": "documents.formats.registry:Parser",
    "documents.types.Reading": "documents.types:ParseResult",
    "evaluation.arms.arms": "evaluation.arms:ARMS.copy",
    "evaluation.arms.choose": "evaluation.arms:choose_arms",
    "evaluation.metrics.METRICS": "evaluation.metrics.registry:METRICS",
    "evaluation.metrics.citation_precision": "evaluation.metrics.citations:citation_precision",
    "evaluation.metrics.citation_recall": "evaluation.metrics.citations:citation_recall",
    "evaluation.metrics.score": "evaluation.metrics.registry:score_prediction",
    "evaluation.runner.run": "evaluation.runner:run_arms",
    "evaluation.tasks.GENERATED": "evaluation.tasks:TASKS",
    "evaluation.tasks.Spec": "evaluation.tasks:TaskSpec",
    "evaluation.tasks.generate": "evaluation.tasks:generate_rows",
    "evaluation.tasks.load_rows": "evaluation.published.readers:load_rows",
    "evaluation.tasks.planted.facts": "evaluation.tasks.planted:plant_facts",
    "evaluation.tasks.reordered": "evaluation.tasks:reorder_documents",
    "experts.cluster.inertia": "experts.cluster:measure_inertia",
    "experts.inertia": "experts:measure_inertia",
    "experts.reorder": "experts:reorder_neurons",
    "experts.reorder.reorder": "experts.reordering:reorder_neurons",
    "experts.switch.Switch": "experts.masking:ExpertMask",
    "experts.switch.switched": "experts.masking:mask_experts",
    "experts.switched": "experts:mask_experts",
    "experts.watch.activity": "experts.activation_meters:module_activity",
    "experts.watch.watched": "experts.activation_meters:watch_blocks",
    "langchain.PaceRetriever": "langchain:PageRetriever",
    "langchain.retrievers.PaceRetriever": "langchain.retrievers:PageRetriever",
    "llama_index.PaceRetriever": "llama_index:CitedPageRetriever",
    "llama_index.events.Progress": "llama_index.events:ReadProgress",
    "llama_index.events.announce": "llama_index.events:announce_reading",
    "llama_index.events.within": "llama_index.events:dispatch_within",
    "llama_index.retriever.PaceRetriever": "llama_index.retriever:CitedPageRetriever",
    "memory.automatic.patched": "memory.transformers_patch:patch_model",
    "memory.calibration.Calibration": "memory.calibration.result:Calibration",
    "memory.paper.update": "memory.rules.paper:update_paper",
    "memory.patched": "memory:patch_model",
    "memory.picture": "memory:project_activations",
    "memory.released.update": "memory.rules.released:update_released",
    "memory.report.diversity": "memory.report:measure_diversity",
    "memory.report.picture": "memory.report:project_activations",
    "memory.report.report": "memory.report:build_report",
    "memory.slotwise.update": "memory.rules.slotwise:update_slotwise",
    "session.citations.cite": "session.citations:resolve_citations",
    "session.memory_report.memory_report": (
        "session.diagnostics.memory_report:build_memory_report"
    ),
    "session.modules.module_usage": "session.diagnostics.module_usage:measure_module_usage",
    "session.state.Change": "session.state:ReadCost",
}


def resolve_renamed(module: str, name: str, *, depth: int = 2) -> object:
    """Return what a name of version 0.1 stands for, with a warning that says its name now.

    Args:
        module: Full name of the module in which it is looked for.
        name: The name that was asked for.
        depth: Calls between the warning and the code that wrote the old name.

    Raises:
        AttributeError: The module never had such a name, or does not keep it.
    """
    inside = module.removeprefix(f"{_PACKAGE}.")
    target = NAMES.get(f"{inside}.{name}")
    if target is None and inside in MODULES and not name.startswith("__"):
        target = f"{MODULES[inside]}:{name}"
    if target is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    value: object = resolve_name(f"{_PACKAGE}.{target}")
    now = f"{_PACKAGE}.{target.replace(':', '.')}"
    text = f"{module}.{name} is {now} now; the old name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=depth + 1)
    return value


def keep_renamed(module: str) -> Callable[[str], object]:
    """Return a module's ``__getattr__`` that knows the names it had in version 0.1."""

    def find_name(name: str) -> object:
        return resolve_renamed(module, name)

    return find_name


class _MovedModule(ModuleType):
    """A module of version 0.1 that lies elsewhere now."""

    def __getattr__(self, name: str) -> object:
        return resolve_renamed(self.__name__, name)

    def __call__(self, *args: object, **options: object) -> object:
        # `experts.reorder` was a module, and the function in it under the package's own name;
        # importing the module puts it in the function's place.
        package, _, name = self.__name__.rpartition(".")
        function: Callable[..., object] = resolve_renamed(package, name)  # type: ignore[assignment]
        return function(*args, **options)


class _MovedFinder(MetaPathFinder, Loader):
    """Finds modules where version 0.1 had them; asked after all other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, inside = fullname.partition(".")
        if package != _PACKAGE or inside not in MODULES:
            return None
        return spec_from_loader(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MovedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def find_moved_modules() -> None:
    """Let modules be imported under their names of version 0.1."""
    if not any(isinstance(finder, _MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MovedFinder())
