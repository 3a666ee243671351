"""A LlamaIndex agent that asks a contract through a tool."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult

from pace_integrations import Pace
from pace_integrations.llama_index import PaceCorpusTool, PaceLLM, PaceQueryEngine


async def main() -> None:
    with Pace.load() as pace:
        tool = PaceCorpusTool.from_defaults(
            PaceQueryEngine.from_paths("examples/documents/rental-contract.pdf", pace=pace),
            name="contract",
            description="Answers questions about the rental contract.",
        )
        agent = FunctionAgent(tools=[tool], llm=PaceLLM(pace=pace, max_new_tokens=96))
        run = agent.run(user_msg="What is the monthly rent?")
        async for event in run.stream_events():
            if isinstance(event, ToolCallResult):
                print(event.tool_name, event.tool_kwargs, "->", event.tool_output.content)
        print(await run)


if __name__ == "__main__":
    asyncio.run(main())
