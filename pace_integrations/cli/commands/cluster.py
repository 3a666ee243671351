"""``pace cluster``: writes a checkpoint whose neurons lie expert by expert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pace_integrations.cli.opening import show_loading
from pace_integrations.cli.options import Dtype, Json
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.config import ExpertConfig, Solver

Name = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Name or path; default: embedded.")
]
Into = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="A new folder.")]
Experts = Annotated[int, typer.Option(help="Experts per layer; it divides the layer's width.")]
ClusterSeed = Annotated[int, typer.Option("--seed", help="Seed of the clustering.")]
Text = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Cluster by co-activation on this text.")
]


Solving = Annotated[Solver, typer.Option(help="constrained is the paper's, and slow.")]


def cluster(
    output: Into,
    model: Name = None,
    experts: Experts = 64,
    solver: Solving = "fast",
    seed: ClusterSeed = 0,
    coactivation: Text = None,
    dtype: Dtype = "auto",
    json: Json = False,
) -> None:
    """Write a copy of a model whose neurons are sorted into experts of equal size.

    It computes the same as the model and loads with plain Transformers. An interrupted run goes on
    at the next layer.
    """
    show = Output(json=json)
    with report_errors(show):
        config = ExpertConfig(
            experts=experts,
            solver=solver,
            seed=seed,
            by="coactivation" if coactivation else "weights",
            text=_read_text(coactivation),
        )
        facts = _cluster_model(model, dtype, config, output, show)
        if json:
            show.show_tables((), facts)
        else:
            show.show_notes([f"{facts['layers']} layers, {experts} experts each, in {output}"])


def _read_text(file: Path | None) -> str:
    from pace_integrations.documents import Corpus

    if file is None:
        return ""
    return "\n".join(page.text for _, page in Corpus.from_paths([file]).pages())


def _cluster_model(
    name: str | None, dtype: str, config: ExpertConfig, folder: Path, show: Output
) -> dict[str, object]:
    """Load, divide and write; imports PyTorch."""
    from pace_integrations.model import expert_checkpoint as divide
    from pace_integrations.model.loading import LoadSettings, load_model

    divide.check_folder(folder)  # before anything takes long
    with show_loading(name, show):
        # What is written again keeps its type, whatever this CPU computes in.
        kept = "checkpoint" if dtype == "auto" else dtype
        loaded = load_model(name, LoadSettings(dtype=kept, device="cpu"))
    with show.track_progress("clustering", "layers") as step:
        loaded, done = divide.divide_into_experts(loaded, config, progress=step)
    with show.show_status(f"writing {folder}"):
        divide.write_checkpoint(loaded, done, folder)
    return {
        "path": str(folder),
        "layers": len(done.orders),
        "experts": config.experts,
        "order": done.fingerprint,
    }
