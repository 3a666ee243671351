"""A Ray cluster of two CPUs on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save_tiny

HELPERS = Path(__file__).parent.parent / "helpers"


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """Ray, running on two CPUs."""
    ray = pytest.importorskip("ray")
    from pytest_socket import disable_socket, enable_socket

    enable_socket()
    paths = [str(HELPERS), str(HELPERS.parents[1]), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:  # what the cluster's processes inherit
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_agent_register_timeout_ms", "120000")  # on a machine that is busy
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()
    disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random Llama whose greedy answers do not end by themselves.

    Libraries keep its pages one by one.
    """
    folder = save_tiny(tmp_path_factory.mktemp("llama"), "llama", seed=1)
    (folder / "reading.json").write_text(json.dumps({"index_layers": [1, 2]}))
    return str(folder)
