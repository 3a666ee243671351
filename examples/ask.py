"""Read a folder once, then ask it questions."""

from pace_integrations import Corpus, Pace


def main() -> None:
    corpus = Corpus.from_paths("examples/documents")
    with Pace.load() as pace:
        session = pace.read(corpus, progress=True)
        for question in ("When does the tenancy begin?", "Where is the service centre?"):
            answer = session.ask(question)
            print(question, answer.text)
            for c in answer.citations:
                print(f"    {c.document}, page {c.page_label or c.page}: {c.quote}")
            print(f"    {answer.usage.cached_tokens} of {answer.usage.input_tokens} tokens reused")


if __name__ == "__main__":
    main()
