"""Arguments and options that several commands have, as Typer spells them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pace_integrations.cli.options import Held, Overflow, Quantization

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, folders or globs.")]
Questions = Annotated[
    list[str], typer.Option("--question", "-q", help="A question; repeat it to ask several.")
]
Model = Annotated[
    str | None, typer.Option(help="Name or path of a Hugging Face model; default: embedded.")
]
Quantised = Annotated[Quantization | None, typer.Option(help="Quantise the model.")]
Memory = Annotated[bool, typer.Option("--memory/--no-memory", help="The activation memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
MaxNewTokens = Annotated[int, typer.Option(help="Most tokens of an answer.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy; above it, answers are sampled.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the sampling.")]
Chunk = Annotated[int, typer.Option(help="Tokens per prefill step; it bounds memory.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, auto; default: the best.")]
Store = Annotated[
    bool, typer.Option("--store/--no-store", help="Keep what is read, and find it again.")
]
Beyond = Annotated[
    Overflow,
    typer.Option(
        "--overflow",
        help="Beyond the model's context: refuse, stretch its positions, or slide a window.",
    ),
]
Keys = Annotated[
    Held, typer.Option("--kv", help="Keys and values in full or in eight bits, which saves memory.")
]
Context = Annotated[int | None, typer.Option(help="Most tokens held; default: the model's.")]
