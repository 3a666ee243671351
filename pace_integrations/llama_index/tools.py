"""Function calling: LlamaIndex's tools as JSON schemas, and calls out of responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from pace_integrations.adapters.argument_schemas import wrap_schema
from pace_integrations.llama_index.convert import load_arguments
from pace_integrations.llama_index.structured import StructuredLLM, find_selection_schema


class ToolCallingLLM(StructuredLLM):
    """What `FunctionAgent`, `predict_and_call` and `FunctionCallingProgram` ask of an LLM.

    A call is held to the tool's schema by constrained decoding: its name exists and its arguments
    are valid, whatever the model.
    """

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            said = ChatMessage(user_msg, role="user") if isinstance(user_msg, str) else user_msg
            messages.append(said)
        return {
            **kwargs,
            "messages": messages,
            "tools": [convert_tool(tool, messages) for tool in tools],
            "tool_choice": tool_choice or ("required" if tool_required else "auto"),
            "parallel_tool_calls": allow_parallel_tool_calls,
        }

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[ToolSelection]:
        """Return the calls in a response.

        Raises:
            ValueError: There is none and `error_on_no_tool_call` is set.
        """
        calls = [b for b in response.message.blocks if isinstance(b, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"the model called no tool but said {response.message.content!r}")
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "",
                tool_name=call.tool_name,
                tool_kwargs=load_arguments(call.tool_kwargs),
            )
            for call in calls
        ]


def convert_tool(tool: BaseTool | Mapping[str, Any], messages: Sequence[ChatMessage]) -> Any:  # noqa: ANN401
    """Return a tool in OpenAI's form, its schema whole; core's selections keep to their choices.

    Core's own conversion keeps five keys of a schema, which loses the items of a list.
    """
    if isinstance(tool, Mapping):
        return tool
    name = tool.metadata.get_name()
    schema = find_selection_schema(name, "\n".join(m.content or "" for m in messages))
    if schema is None and tool.metadata.fn_schema is not None:
        schema = wrap_schema(tool.metadata.fn_schema.model_json_schema())
    if schema is None:
        schema = tool.metadata.get_parameters_dict()
    function = {"name": name, "description": tool.metadata.description, "parameters": schema}
    return {"type": "function", "function": function}
