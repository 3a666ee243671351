"""A LangGraph agent that asks a contract through a tool."""

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from pace_integrations import Corpus, Pace
from pace_integrations.langchain import ChatPace, PaceCorpusTool


def agent(pace: Pace, corpus: Corpus):
    """Build a graph in which the model may call the tool until it has what it needs."""
    tool = PaceCorpusTool(session=pace.read(corpus))
    llm = ChatPace(pace=pace, max_tokens=96).bind_tools([tool])
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think" if pace.knows_tools else END)  # else: the tool has said it
    return graph.compile()


def main() -> None:
    with Pace.load() as pace:
        corpus = Corpus.from_paths("examples/documents/rental-contract.pdf")
        question = {"messages": [HumanMessage("What is the monthly rent?")]}
        for message in agent(pace, corpus).invoke(question)["messages"]:
            message.pretty_print()


if __name__ == "__main__":
    main()
