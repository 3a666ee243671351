"""A LlamaIndex AgentWorkflow over three PDFs: a tool for each, a schema, a memory and streaming.

    $ python -m recipes.workflow_with_schema
    In the mussel beds study, how was the water temperature measured?
      calls ask_mussel_beds({'input': 'In the mussel beds study...'})
      ask_mussel_beds said: buoys [2]
      Finding(about='seagrass', answered=True)
    In the seagrass study, how was the water temperature measured?
      calls ask_seagrass({'input': 'In the seagrass study...'})
      ask_seagrass said: satellites [2]
      Finding(about='seagrass', answered=True)
    8 messages in the memory

Every PDF is read once into a query engine of its own. The agent calls a tool, what it found is put
into a schema while it is written, and the second question goes on with the same memory. Choosing
the right tool, and saying well what it said, takes a model that was trained on tools: name one with
``--model``. The form is certain with any. Needs the ``llama-index`` extra.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from pydantic import BaseModel

from pace_integrations import Pace
from pace_integrations.llama_index import PaceCorpusTool, PaceLLM, PaceQueryEngine

PAPERS = [f"examples/papers/{name}.pdf" for name in ("kelp-forests", "mussel-beds", "seagrass")]
QUESTIONS = (
    "In the mussel beds study, how was the water temperature measured?",
    "In the seagrass study, how was the water temperature measured?",
)


class Finding(BaseModel):
    """What the papers say."""

    about: Literal["kelp", "mussels", "seagrass"]
    answered: bool


def make_tools(pace: Pace, paths: Sequence[str]) -> list[PaceCorpusTool]:
    """Return a tool for each PDF, which is read at its first question."""
    return [
        PaceCorpusTool.from_defaults(
            PaceQueryEngine.from_paths(path, pace=pace),
            name="ask_" + re.sub(r"\W+", "_", Path(path).stem),
            description=f"Answers questions about {Path(path).stem.replace('-', ' ')}.",
        )
        for path in paths
    ]


def make_workflow(pace: Pace, tools: Sequence[PaceCorpusTool]) -> AgentWorkflow:
    """Return a workflow of one agent that answers with a `Finding`."""
    agent = FunctionAgent(
        name="reader",
        description="Reads papers.",
        tools=list(tools),
        llm=PaceLLM(pace=pace, max_new_tokens=160),
    )
    return AgentWorkflow(agents=[agent], output_cls=Finding)


async def stream_steps(
    workflow: AgentWorkflow, memory: BaseMemory, question: str
) -> AsyncIterator[str]:
    """Yield what every step of an answer gave, as it is given."""
    run = workflow.run(user_msg=question, memory=memory, max_iterations=8)
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            yield f"  {event.tool_name} said: {event.tool_output.content.splitlines()[0]}"
        elif type(event) is ToolCall:
            yield f"  calls {event.tool_name}({event.tool_kwargs})"
    result = await run
    yield f"  {Finding.model_validate(result.structured_response)!r}"


async def run(paths: Sequence[str], model: str | None) -> None:
    """Ask the workflow two questions in one memory."""
    with Pace.load(model) as pace:
        workflow = make_workflow(pace, make_tools(pace, paths))
        memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
        for question in QUESTIONS:
            print(question)
            async for line in stream_steps(workflow, memory, question):
                print(line)
        print(len(memory.get_all()), "messages in the memory")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=PAPERS)
    parser.add_argument("--model", help="name or path; the default model otherwise")
    args = parser.parse_args(argv)
    asyncio.run(run(args.paths, args.model))


if __name__ == "__main__":
    main()
