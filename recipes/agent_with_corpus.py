"""A LangGraph agent that asks what was read through a tool, and shows what each step gave.

    $ python -m recipes.agent_with_corpus
    model calls ask_documents({'question': 'What is the monthly rent?'})
    ask_documents said: 1,450 pounds [2]
    Sources:
    [2] Rental contract, page 2: The monthly rent is 1,450 pounds.

Each file or folder is read once into a session of its own and is a tool of its own. Calls are held
to the tools' schemas while they are written, so that any model calls them correctly. Choosing among
several tools, and putting what they said into words, takes a model that was trained on tools: with
others, such as the embedded one, what the tool said is the answer. Needs the ``langchain`` extra
and ``langgraph``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from pace_integrations import Corpus, Pace
from pace_integrations.langchain import ChatPace, PaceCorpusTool


def tools(pace: Pace, paths: Sequence[str]) -> list[PaceCorpusTool]:
    """Return a tool for each path; several are named by what they hold."""
    return [
        PaceCorpusTool(
            session=pace.read(Corpus.from_paths(path)),
            name="ask_documents"
            if len(paths) == 1
            else "ask_" + re.sub(r"\W+", "_", Path(path).stem),
        )
        for path in paths
    ]


def agent(pace: Pace, tools: Sequence[PaceCorpusTool]) -> Any:  # noqa: ANN401 - LangGraph's own
    """Return a graph in which the model may call tools until it has what it needs."""
    llm = ChatPace(pace=pace, max_tokens=96).bind_tools(tools)
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    # A model that no one has trained on tools has nothing to add to what a tool said.
    graph.add_edge("tools", "think" if pace.knows_tools else END)
    return graph.compile()


def show(message: AIMessage | ToolMessage) -> None:
    """Print one step."""
    if isinstance(message, ToolMessage):
        print(f"{message.name} said: {message.content}")
        return
    for call in message.tool_calls:
        print(f"model calls {call['name']}({call['args']})")
    if message.text:
        print(f"model says: {message.text}")


def main(argv: Sequence[str] | None = None) -> None:
    """Ask the agent one question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["examples/documents/rental-contract.pdf"])
    parser.add_argument("-q", "--question", default="What is the monthly rent?")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    with Pace.load(args.model) as pace:
        graph = agent(pace, tools(pace, args.paths))
        steps = graph.stream({"messages": [HumanMessage(args.question)]}, stream_mode="updates")
        for step in steps:
            for update in step.values():
                show(update["messages"][-1])


if __name__ == "__main__":
    main()
