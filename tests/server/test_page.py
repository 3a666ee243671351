"""The page in a real browser: from a file that is dropped to an answer with its page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pdfs import scanned, typeset
from serving import INVOICE

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.filterwarnings("ignore")  # the browser driver's own

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEY = "page-key-1234"
QUESTION = "What is the total amount due?"

if BROWSER is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, papers: Path) -> Iterator[str]:
    """A server of its own process, as people start it."""
    folder = tmp_path_factory.mktemp("page")
    start = "from pace_integrations.entry import main; main()"
    command = [sys.executable, "-c", start, "serve", str(papers), "--port", "0"]
    environment = os.environ | {
        "PACE_HOME": str(folder),
        "PACE_MODEL": "pace-nano",
        "OMP_NUM_THREADS": "1",
        "PACE_API_KEY": KEY,
    }
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        while not (found := re.search(r"http://[\d.:]+", log.read_text())):
            assert process.poll() is None, log.read_text()
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=BROWSER,
            headless=True,
            args=FLAGS,
            viewport={"width": 1280, "height": 800},
        )
        started.set_default_timeout(60_000)
        yield started
        started.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """The page with the key given, and nothing asked of any other address."""
    opened = browser.new_page()
    asked, problems = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda m: problems.append(m.text) if "Policy" in m.text else None)
    opened.goto(address)
    opened.get_by_label("API key").fill(KEY)
    opened.get_by_role("button", name="Continue").click()
    opened.get_by_text("papers: ready.").or_(opened.get_by_text("3 pages")).first.wait_for()
    yield opened
    assert not problems
    assert all(url.startswith(address) for url in asked)
    opened.close()


def ask(page, question: str = QUESTION) -> object:
    """Ask as people do, and return the finished answer."""
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")
    turn = page.get_by_role("article").last
    turn.get_by_role("heading", name=question).wait_for()
    page.get_by_role("button", name="Ask").and_(page.locator(":enabled")).wait_for()
    return turn


def test_an_answer_leads_to_its_page(page) -> None:
    turn = ask(page)
    assert turn.locator(".text").inner_text().strip()
    chip = turn.locator(".chip").last
    chip.click()
    cited = page.get_by_role("complementary", name="Cited page")
    cited.get_by_role("heading").wait_for()
    quote = cited.locator("mark").inner_text()
    assert quote
    assert any(quote in text for text in (*INVOICE, "Tenant: Ada Byron\nMonthly rent: 950 EUR"))
    assert chip.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    cited.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.className") == "chip"


def test_dropped_files_are_read_and_asked(page, tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").write_bytes(typeset(*INVOICE, title="Bill"))
    (tmp_path / "scan.pdf").write_bytes(scanned())
    (tmp_path / "tool.exe").write_bytes(b"MZ\x90\x00\x03")
    paths = [str(tmp_path / name) for name in ("bill.pdf", "scan.pdf", "tool.exe")]
    page.locator("#files").set_input_files(paths)
    page.get_by_text("3 files: ready.").wait_for()
    assert "tool.exe" in page.get_by_role("alert").inner_text()
    library = page.get_by_role("listitem").filter(has_text="3 files")
    library.get_by_text("1 file not read").click()
    library.get_by_text("scan.pdf").wait_for()
    turn = ask(page)
    turn.locator(".chip").last.click()
    picture = page.get_by_role("img", name="Picture of Bill")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 500
    page.once("dialog", lambda dialog: dialog.accept())
    library.get_by_role("button", name="Remove").click()
    library.wait_for(state="detached")


def test_what_is_not_supported_is_shown_so(page) -> None:
    """An answer without a source, one that the pages do not support, and a refusal."""

    def fulfill(refused: bool, supported: object) -> None:
        part = {"type": "output_text", "text": "Seven.", "annotations": []}
        made = {
            "id": "resp_1",
            "status": "completed",
            "output": [{"type": "message", "content": [part]}],
            "pace": {"refused": refused, "supported": supported},
        }
        event = json.dumps({"type": "response.completed", "response": made})
        page.route(
            "**/v1/responses",
            lambda route: route.fulfill(
                body=f"data: {event}\n\n", content_type="text/event-stream"
            ),
        )

    for refused, supported, said in (
        (False, None, "cites no page"),
        (False, False, "Not supported by the pages"),
        (True, False, "The documents do not say."),
    ):
        fulfill(refused, supported)
        assert said in ask(page, f"Case {refused} {supported}").inner_text()
        page.unroute("**/v1/responses")


def test_an_error_is_told(page) -> None:
    body = '{"error": {"message": "the queue is full; try again later"}}'
    page.route("**/v1/responses", lambda route: route.fulfill(status=503, body=body))
    ask(page)
    assert "the queue is full" in page.get_by_role("alert").inner_text()
    page.unroute("**/v1/responses")


def test_documents_cannot_write_into_the_page(page, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=document.title='taken'> Total amount due: 381.50 EUR"
    (tmp_path / "<b>x.txt").write_text(hostile)
    page.locator("#files").set_input_files(str(tmp_path / "<b>x.txt"))
    page.get_by_text("bx.txt: ready.").or_(page.get_by_text("<b>x.txt: ready.")).wait_for()
    turn = ask(page)
    turn.locator(".chip").last.click()
    page.locator("#page-text").get_by_text("381.50").first.wait_for()
    assert page.title() == "Ask your documents"
    assert page.locator("#page-text img, .turn img, li b").count() == 0


@pytest.mark.parametrize("kind", ["curl", "Python", "LangChain", "LlamaIndex"])
def test_the_question_is_copied_as_code(page, kind: str, address: str) -> None:
    page.get_by_text("Copy as").click()
    page.get_by_role("button", name=kind, exact=True).click()
    code = page.locator("#snippet").inner_text()
    assert address in code
    assert KEY not in code
    if kind != "curl":
        compile(code, kind, "exec")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_and_text_can_be_read(page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    turn = ask(page)
    turn.locator(".chip").last.click()
    page.locator("#page-text mark").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    low = page.evaluate(CONTRAST)
    assert low == []
    page.set_viewport_size({"width": 1280, "height": 800})


# Texts whose contrast with what is behind them is below 4.5.
CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parts(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((n) => n.checkVisibility())
    .filter((n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
    .filter((n) => !n.disabled)
    .map((n) => [n, light(parts(getComputedStyle(n).color)), light(behind(n))])
    .filter(([, a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5)
    .map(([n]) => n.outerHTML.slice(0, 80));
}"""


def test_every_control_has_a_name_and_is_reached_by_keys(page) -> None:
    ask(page)
    unnamed = page.evaluate("""() =>
      [...document.querySelectorAll("button, input, textarea, summary")]
      .filter((n) => n.checkVisibility())
      .filter((n) => !(n.textContent.trim() || n.getAttribute("aria-label") || n.labels?.length))
      .map((n) => n.outerHTML)""")
    assert unnamed == []
    page.evaluate("document.activeElement.blur()")
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"files", "folder", "question", "ask", "follow", "chip"} <= seen
