"""Clocks, memory and the machine's limits, as one process sees them."""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "langchain-huggingface", "llama-index-llms-huggingface")


def clock() -> float:
    """CPU seconds of this process: what other programs do does not stretch them."""
    return time.process_time()


def status(name: str) -> float:
    """Return a figure of this process's memory in MB, such as ``VmRSS`` or ``VmHWM`` (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def forget_peak() -> None:
    """Give freed memory back and starts the peak anew."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def machine() -> dict[str, str]:
    """Return the machine and the versions, for the report."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    found = {"cpu": cpus[0].split(":")[1].strip(), "cores": str(len(cpus))}
    found |= {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ImportError:
            found[package] = "not installed"
    return found


def matrix_rate() -> float:
    """Floating-point operations per CPU second of a large float32 matrix product."""
    a, b = torch.randn(2, 1536, 1536)
    seconds = _best(lambda: a @ b)
    return 2 * 1536**3 / seconds


def bandwidth() -> float:
    """Bytes per CPU second that a sum over a tensor larger than the caches reads."""
    a = torch.ones(64 * 2**20)
    return a.numel() * 4 / _best(lambda: a.sum())


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(4):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)
