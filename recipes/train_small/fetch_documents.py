"""Fetch the documents of the look-ups from Debian packages, by name.

python -m recipes.train_small.fetch_documents FOLDER

Needs `apt-get` and `dpkg-deb`; nothing is installed.
"""

import argparse
import gzip
import subprocess
import tempfile
from pathlib import Path

# Package, path in it, and the name that the look-ups use.
DOCUMENTS = (
    ("doc-debian", "usr/share/doc/debian/constitution.txt.gz", "constitution.txt"),
    ("doc-debian", "usr/share/doc/debian/debian-manifesto.gz", "manifesto.txt"),
    ("debian-policy", "usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz", "fhs-3.0.pdf"),
    ("miscfiles", "usr/share/misc/currency.gz", "currency.txt"),
    ("miscfiles", "usr/share/misc/birthtoken.gz", "birthtoken.txt"),
    ("zlib1g-dev", "usr/share/doc/zlib1g-dev/changelog.gz", "changelog.txt"),
    ("python3", "usr/share/doc/python3/python-policy.txt.gz", "python-policy.txt"),
    ("ninja-build", "usr/share/doc/ninja-build/manual.html", "ninja.html"),
    ("liblzma-dev", "usr/share/doc/liblzma-dev/xz-file-format.txt.gz", "xz-file-format.txt"),
)


def fetch_documents(folder: Path) -> None:
    """Write every document into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = sorted({package for package, _, _ in DOCUMENTS})
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["apt-get", "download", *packages], cwd=work, check=True)
        for archive in Path(work).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, work], check=True)
        for _, path, name in DOCUMENTS:
            packed = (Path(work) / path).read_bytes()
            text = gzip.decompress(packed) if path.endswith(".gz") else packed
            (folder / name).write_bytes(text)


def main() -> None:
    """Fetch them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    fetch_documents(parser.parse_args().folder)


if __name__ == "__main__":
    main()
