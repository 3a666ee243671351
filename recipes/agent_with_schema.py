"""A LangGraph agent over three PDFs: a tool for each, a schema, a checkpointer and streaming.

    $ python -m recipes.agent_with_schema
    In the mussel beds study, how was the water temperature measured?
      calls ask_mussel_beds({'question': 'In the mussel beds study...'})
      ask_mussel_beds said: buoys [2]
      Finding(about='seagrass', answered=False)
    In the seagrass study, how was the water temperature measured?
      calls ask_seagrass({'question': 'In the seagrass study...'})
      ask_seagrass said: satellites [2]
      Finding(about='seagrass', answered=False)
    8 messages in the thread

Every PDF is read once into a session of its own. The agent calls a tool, its answer is held to a
schema while it is written, and the second question goes on with the same thread. Choosing the right
tool, and saying well what it said, takes a model that was trained on tools: name one with
``--model``. The form is certain with any. Needs the ``langchain`` extra and the package
``langchain``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from pace_integrations import Corpus, Pace
from pace_integrations.langchain import ChatPace, PaceCorpusTool

PAPERS = [f"examples/papers/{name}.pdf" for name in ("kelp-forests", "mussel-beds", "seagrass")]
QUESTIONS = (
    "In the mussel beds study, how was the water temperature measured?",
    "In the seagrass study, how was the water temperature measured?",
)


class Finding(BaseModel):
    """What the papers say."""

    about: Literal["kelp", "mussels", "seagrass"]
    answered: bool


# What the checkpointer may bring back from what it wrote down.
KNOWN = (Finding.__module__, Finding.__name__)


def make_tools(pace: Pace, paths: Sequence[str]) -> list[PaceCorpusTool]:
    """Return a tool for each PDF, which is read now."""
    return [
        PaceCorpusTool(
            session=pace.read(Corpus.from_paths(path)),
            name="ask_" + re.sub(r"\W+", "_", Path(path).stem),
            description=f"Answers questions about {Path(path).stem.replace('-', ' ')}.",
        )
        for path in paths
    ]


def make_agent(pace: Pace, tools: Sequence[PaceCorpusTool]) -> Any:  # noqa: ANN401 - LangGraph's own
    """Return an agent that remembers its threads and answers with a `Finding`."""
    return create_agent(
        ChatPace(pace=pace, max_tokens=160),
        list(tools),
        response_format=Finding,
        checkpointer=InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=[KNOWN])),
    )


def stream_steps(agent: Any, question: str, thread: str) -> Iterator[str]:  # noqa: ANN401
    """Yield what every step of an answer gave, as it is given."""
    config = {"configurable": {"thread_id": thread}, "recursion_limit": 8}
    asked = {"messages": [("user", question)]}
    for update in agent.stream(asked, config, stream_mode="updates"):
        for state in update.values():
            for message in state["messages"]:
                if isinstance(message, ToolMessage):
                    yield f"  {message.name} said: {message.content.splitlines()[0]}"
                elif isinstance(message, AIMessage):
                    yield from (f"  calls {c['name']}({c['args']})" for c in message.tool_calls)
            if state.get("structured_response"):
                yield f"  {state['structured_response']!r}"


def main(argv: Sequence[str] | None = None) -> None:
    """Ask the agent two questions in one thread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=PAPERS)
    parser.add_argument("--model", help="name or path; the default model otherwise")
    args = parser.parse_args(argv)
    with Pace.load(args.model) as pace:
        agent = make_agent(pace, make_tools(pace, args.paths))
        for question in QUESTIONS:
            print(question)
            for line in stream_steps(agent, question, "papers"):
                print(line)
        state = agent.get_state({"configurable": {"thread_id": "papers"}})
        print(len(state.values["messages"]), "messages in the thread")


if __name__ == "__main__":
    main()
