"""Show an answer while it is written; closing the stream stops the model."""

from pace_integrations import Corpus, GenerationConfig, Pace


def main() -> None:
    with Pace.load() as pace:
        session = pace.read(Corpus.from_paths("examples/documents/heat-pump-warranty.pdf"))
        brief = GenerationConfig(max_new_tokens=40)
        with session.stream("How much does the annual service cost?", generation=brief) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
        print()
        print(f"first token after {stream.answer.timings.first_token:.3f} s")


if __name__ == "__main__":
    main()
