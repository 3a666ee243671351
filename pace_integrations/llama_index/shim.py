"""LlamaIndex's name for an LLM: the wheel installs this module as ``llama_index.llms.pace``."""

from __future__ import annotations

from pace_integrations.llama_index import PaceLLM

__all__ = ["PaceLLM"]
