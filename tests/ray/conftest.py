"""A Ray cluster of two CPUs on this machine."""

from __future__ import annotations

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
    paths = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield ray
    ray.shutdown()
    disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random Llama whose greedy answers do not end by themselves."""
    folder = save_tiny(tmp_path_factory.mktemp("llama"), "llama", seed=1)
    return str(folder)
