"""Read once and keep it; the next run opens the folder and reads only what is new."""

import tempfile
from pathlib import Path

from pace_integrations import Corpus, Pace


def main() -> None:
    folder = Path(tempfile.mkdtemp()) / "contract.pace"
    contract = Corpus.from_paths("examples/documents/rental-contract.pdf")
    warranty = Corpus.from_paths("examples/documents/heat-pump-warranty.pdf")
    with Pace.load() as pace:
        print(pace.read(contract, path=folder).change)
        session = pace.open(folder)
        print(session.change, session.ask("When does the tenancy begin?"))
        print(session.add(warranty), session.ask("What is the refrigerant?"))


if __name__ == "__main__":
    main()
