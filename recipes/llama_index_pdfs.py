"""A LlamaIndex query engine over PDFs that are read whole, and stay current when a file changes.

    $ python -m recipes.llama_index_pdfs
    When does the tenancy begin? 1 April 2025 [4]
        rental-contract.pdf, page 1: The tenancy begins on 1 April 2025.
    What is the refrigerant? propane [1]
        heat-pump-warranty.pdf, page 1: The refrigerant is propane.
    refreshed: 0 tokens read again, 946 kept

``SimpleDirectoryReader`` opens the folder as ever, with this package's reader for its pages; the
engine has no index and no retriever. ``refresh`` reads only what follows the first change. Needs
the ``llama-index`` extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from llama_index.core import SimpleDirectoryReader
from llama_index.core.schema import Document

from pace_integrations.llama_index import PaceQueryEngine, PaceReader

QUESTIONS = ("When does the tenancy begin?", "What is the refrigerant?")


def load(folder: str) -> list[Document]:
    """Return every page of every PDF in a folder; files that cannot be read are named."""
    reader = PaceReader()
    found = SimpleDirectoryReader(
        folder, required_exts=[".pdf"], file_extractor=reader.extractor()
    ).load_data()
    for file in reader.report.problems:
        print(f"{file.path}: {file.status}. {file.remedy}")
    return found


def ask(engine: PaceQueryEngine, question: str) -> None:
    """Print an answer and its source nodes."""
    response = engine.query(question)
    print(f"{question} {response}")
    for source in response.source_nodes:
        name, page = source.metadata["file_name"], source.metadata["page_label"]
        print(f"    {name}, page {page}: {source.metadata['quote']}")


def main(argv: Sequence[str] | None = None) -> None:
    """Read, ask, and refresh with the same files to show what that costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="examples/documents")
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    engine = PaceQueryEngine.from_documents(load(args.folder), model=args.model)
    for question in args.question or QUESTIONS:
        ask(engine, question)
    change = engine.refresh(load(args.folder))
    print(f"refreshed: {change.read} tokens read again, {change.kept} kept")


if __name__ == "__main__":
    main()
