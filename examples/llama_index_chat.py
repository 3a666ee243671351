"""A conversation about a contract, streamed, with the pages that each answer rests on."""

import asyncio

from pace_integrations.llama_index import PaceChatEngine


async def main() -> None:
    engine = PaceChatEngine.from_paths("examples/documents/rental-contract.pdf")
    for message in ("When does the tenancy begin?", "What is the monthly rent?"):
        print(message)
        response = await engine.astream_chat(message)
        async for piece in response.async_response_gen():
            print(piece, end="", flush=True)
        for source in response.source_nodes:
            print("  ", source.metadata["file_name"], "page", source.metadata["page"], end="")
        print()


if __name__ == "__main__":
    asyncio.run(main())
