"""Show an answer while it is written, then ask several at once; the event loop never waits."""

import asyncio

from pace_integrations import Corpus, Pace

QUESTIONS = ("What is the refrigerant?", "Where is the service centre?")


async def main() -> None:
    with Pace.load() as pace:
        session = pace.read(Corpus.from_paths("examples/documents/heat-pump-warranty.pdf"))
        async with session.astream("How much does the annual service cost?") as stream:
            async for piece in stream:  # leaving the block early stops the model
                print(piece, end="", flush=True)
        print(f"\nfirst token after {stream.answer.timings.first_token:.3f} s")
        answers = await asyncio.gather(*(session.aask(question) for question in QUESTIONS))
        for question, answer in zip(QUESTIONS, answers, strict=True):
            print(question, answer.text)


if __name__ == "__main__":
    asyncio.run(main())
