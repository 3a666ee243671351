"""What to expect on this machine: measured rates, and what follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pace_integrations import Pace
from pace_integrations.cli.app import app
from pace_integrations.cli.estimates import Estimate, estimate_model


def test_times_and_bytes_follow_from_the_rates() -> None:
    found = Estimate(4096, 1e-3, 1e-7, 0.1, 50.0, 1000, 8, 24, 8192)
    assert found.seconds(1000) == pytest.approx(1.0 + 0.05)
    assert found.bytes(500) == 1000 + 24 + 4000


def test_a_model_is_tried_within_its_context(pace: Pace) -> None:
    found = estimate_model(pace, seconds=3.0)
    assert 512 <= found.tokens <= pace.context_window
    assert found.seconds(2000) > found.seconds(1000) > 0
    config = pace._engine.loaded.model.config
    width = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim
    assert found.cache_per_token == 4 * width
    assert found.banks > 0
    assert found.written_per_second > 0


def test_the_shell_prints_what_it_measured(tiny_path: Path) -> None:
    options = ["bench", "--model", str(tiny_path), "--seconds", "1"]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0, shown.output
    assert "1,000" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert told["pages"][-1]["pages"] == 1000
    assert told["per_token"] > 0


def test_the_shell_reads_on_in_a_window(tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("It rained all day. " * 200)
    command = ["ask", str(tmp_path / "book.txt"), "-q", "When?", "--model", str(tiny_path)]
    command += ["--max-new-tokens", "4", "--context", "1024", "--no-store", "--json"]
    refused = json.loads(CliRunner().invoke(app, command).stdout)
    # Read as a library, whose pages do not fit either.
    assert refused["error"]["type"] in ("ContextOverflowError", "DocumentError")
    answered = json.loads(CliRunner().invoke(app, [*command, "--overflow", "window"]).stdout)
    assert answered["usage"]["input_tokens"] < 1024
