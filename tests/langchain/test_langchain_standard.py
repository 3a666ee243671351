"""LangChain's own conformance tests, with the embedded model and no network."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from house import PAGES
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pdfs import typeset

from pace_integrations import Pace
from pace_integrations.langchain import ChatPace

# The suite times a stream only from a recording of network traffic, of which there is none.
pytestmark = pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")

DOCUMENT = "The harbour office opens at nine. " * 12


@pytest.fixture(autouse=True)
def _local_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fetches a PDF; it gets one that is typeset here."""
    content = typeset(*PAGES)
    monkeypatch.setattr(httpx, "get", lambda *_, **__: SimpleNamespace(content=content))


class Standard:
    """What both suites are told of the model."""

    @pytest.fixture(autouse=True)
    def _give_model(self, embedded: Pace, tiny_path: Path) -> None:
        type(self).pace, type(self).other = embedded, str(tiny_path)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatPace

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"pace": self.pace, "max_new_tokens": 128}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return self.other

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        kinds = ["cache_read_input", "cache_creation_input"]
        return {"invoke": kinds, "stream": kinds}


class TestUnit(Standard, ChatModelUnitTests):
    """Ten checks of construction, binding and parameters."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"PACE_MODEL": "models/qwen"}, {}, {"model_name": "models/qwen"}


class TestIntegration(Standard, ChatModelIntegrationTests):
    """Fifty checks of what the model does."""

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream, 1)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream, 2)

    def _asked(self, stream: bool, times: int) -> AIMessage:
        chat = ChatPace(**self.chat_model_params)
        part = {"type": "text", "text": DOCUMENT, "cache_control": {"type": "ephemeral"}}
        for question in ("When does it open?", "What opens at nine?")[:times]:
            message = HumanMessage([part, {"type": "text", "text": question}])
            chunks = list(chat.stream([message])) if stream else [chat.invoke([message])]
        answer = chunks[0]
        for chunk in chunks[1:]:
            answer = answer + chunk
        return answer


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    return {"record_mode": "none"}


def test_the_suite_is_given_a_real_pdf() -> None:
    assert base64.b64encode(httpx.get("").content).startswith(b"JVBER")
