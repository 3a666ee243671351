"""A LlamaIndex query engine over documents that were read whole, once."""

from pace_integrations.llama_index import PaceQueryEngine


def main() -> None:
    engine = PaceQueryEngine.from_paths("examples/documents/rental-contract.pdf")
    for question in ("When does the tenancy begin?", "What is the monthly rent?"):
        response = engine.query(question)
        print(question, response)
        for source in response.source_nodes:
            print("   ", source.metadata["file_name"], "page", source.metadata["page"])


if __name__ == "__main__":
    main()
