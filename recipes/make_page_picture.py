"""Take the pictures of the server's page that the README and the guide show.

    python -m recipes.make_page_picture [--out docs/pages]

Starts ``pace serve examples/documents`` with pace-nano, asks three questions in a Chromium that is
installed, opens the first source, and writes ``page-light.png`` (wide) and ``page-narrow.png``
(narrow and dark).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_QUESTIONS = (
    "When does the tenancy begin?",
    "Where is the fire assembly point?",
    "What is the refrigerant?",
)
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_FLAGS += ("--disable-background-networking", "--disable-component-update")
_PICTURES = (("page-light", 1280, 640, "light"), ("page-narrow", 400, 860, "dark"))


@contextmanager
def serve_examples(folder: Path) -> Iterator[str]:
    """Serve the example documents on a free port; gives the address."""
    code = "from pace_integrations.entry import main; main()"
    command = [sys.executable, "-c", code, "serve", "examples/documents", "--port", "0"]
    environment = os.environ | {"PACE_HOME": str(folder), "PACE_MODEL": "pace-nano"}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        while not (found := re.search(r"http://[\d.:]+", log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def take_picture(page: Page, width: int, height: int, scheme: str, file: Path) -> None:
    """Ask the questions anew, open the first source, and write a picture."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.reload()
    page.get_by_text("8 pages").wait_for()
    for question in _QUESTIONS:
        page.get_by_label("Your question").fill(question)
        page.get_by_label("Your question").press("Enter")
        page.get_by_role("article").last.get_by_role("heading", name=question).wait_for()
        page.get_by_role("button", name="Ask").and_(page.locator(":enabled")).wait_for()
    page.get_by_role("article").first.locator(".chip").last.click()
    page.get_by_role("img", name="Picture of").wait_for()
    target = "document.getElementById('answers')" if width < 800 else "document.body"
    page.evaluate(f"{target}.scrollIntoView()")
    page.screenshot(path=file)


def main() -> int:
    """Take the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pages"))
    out = parser.parse_args().out
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("no Chromium is installed; try: apt-get install chromium", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="pace-page-") as place,
        serve_examples(Path(place)) as address,
        sync_playwright() as driver,
    ):
        context = driver.chromium.launch_persistent_context(
            Path(place, "profile"), executable_path=browser, headless=True, args=_FLAGS
        )
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(address)
        for name, width, height, scheme in _PICTURES:
            take_picture(page, width, height, scheme, out / f"{name}.png")
        context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
