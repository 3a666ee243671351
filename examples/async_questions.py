"""Ask several questions at once from an event loop that never blocks."""

import asyncio

from pace_integrations import Corpus, Pace

QUESTIONS = ("When does the tenancy begin?", "How much is the security deposit?")


async def main() -> None:
    with Pace.load() as pace:
        session = pace.read(Corpus.from_paths("examples/documents/rental-contract.pdf"))
        answers = await asyncio.gather(*(session.aask(question) for question in QUESTIONS))
        for question, answer in zip(QUESTIONS, answers, strict=True):
            print(question, answer.text)


if __name__ == "__main__":
    asyncio.run(main())
