"""Load a server with many clients at once, then kill it and start it again.

    python -m recipes.serve_load [--clients 64] [--seconds 60] [--slots 16]

Starts ``pace serve`` on loopback with pace-nano and made-up papers, and lets every client ask
again and again, half of them streaming, some leaving in the middle. Each answer is held against the
one that the same question got alone. Prints what was counted, and exits with 1 where an answer was
wrong or lost, a request was refused but by the rule of the queue, or memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

_PAPERS = 6
_LEAVES = 0.05  # share of the streams whose client goes before the end
_GROWTH = 1.10  # of resident memory, over what the first half of the load left


@dataclass
class Tally:
    """What the clients have seen."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def note_wrong(self, question: str, got: str, wanted: str) -> None:
        """Count an answer that is another than alone."""
        self.counts["wrong"] += 1
        self.examples.append(f"{question}: {got!r} instead of {wanted!r}")


def write_papers(folder: Path) -> list[str]:
    """Write small papers; return questions about them."""
    questions = []
    for i in range(_PAPERS):
        total, day = 100 + 37 * i, i + 3
        text = f"Invoice {4711 + i}\nTotal amount due: {total}.50 EUR\nDue date: {day} May 2026\n"
        (folder / f"invoice-{i}.txt").write_text(text)
        questions += [
            f"What is the total amount due of invoice {4711 + i}?",
            f"When is invoice {4711 + i} due?",
        ]
    return questions


def start_server(folder: Path, papers: Path, slots: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server; return its process and its address once it has read the papers."""
    log = folder / f"log-{time.monotonic_ns()}"
    code = "from pace_integrations.entry import main; main()"
    options = ["serve", str(papers), "--port", "0", "--slots", str(slots)]
    environment = os.environ | {"PACE_HOME": str(folder), "PACE_MODEL": "pace-nano"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *options], env=environment, stdout=output, stderr=output
        )
    while not (found := re.search(r"http://[\d.:]+", log.read_text())):
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.1)
    address = found[0]
    while httpx.get(f"{address}/ready", timeout=60).status_code != 200:
        time.sleep(0.1)
    return process, address


def ask_alone(address: str, question: str) -> str:
    """Return the answer that a question gets when nothing else is asked."""
    reply = httpx.post(f"{address}/v1/responses", json={"input": question}, timeout=120)
    text: str = reply.raise_for_status().json()["output"][0]["content"][0]["text"]
    return text


async def run_client(
    client: httpx.AsyncClient, wanted: dict[str, str], end: float, tally: Tally, seed: int
) -> None:
    """Ask until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < end:
        question = chance.choice(list(wanted))
        start = time.monotonic()
        try:
            if chance.random() < 0.5:
                text = await ask_streaming(client, question, chance, tally)
            else:
                text = await ask_whole(client, question, tally)
        except httpx.HTTPError as error:
            tally.counts["lost"] += 1
            tally.examples.append(f"{question}: {type(error).__name__} {error}")
            continue
        if text is None:
            await asyncio.sleep(0.2)
            continue
        tally.counts["answered"] += 1
        tally.seconds.append(time.monotonic() - start)
        if text != wanted[question]:
            tally.note_wrong(question, text, wanted[question])


async def ask_whole(client: httpx.AsyncClient, question: str, tally: Tally) -> str | None:
    """Return an answer; None where the queue was full."""
    reply = await client.post("/v1/responses", json={"input": question})
    if reply.status_code != 200:
        return count_refusal(reply, tally)
    text: str = reply.json()["output"][0]["content"][0]["text"]
    return text


async def ask_streaming(
    client: httpx.AsyncClient, question: str, chance: random.Random, tally: Tally
) -> str | None:
    """Return an answer; None where the queue was full, or this client left."""
    leaves = chance.random() < _LEAVES
    body = {"input": question, "stream": True}
    async with client.stream("POST", "/v1/responses", json=body) as reply:
        if reply.status_code != 200:
            await reply.aread()
            return count_refusal(reply, tally)
        async for line in reply.aiter_lines():
            event = json.loads(line[6:]) if line.startswith("data: ") else {}
            if leaves and event.get("type") == "response.output_text.delta":
                tally.counts["left"] += 1
                return None
            if event.get("type") == "response.completed":
                text: str = event["response"]["output"][0]["content"][0]["text"]
                return text
    tally.counts["lost"] += 1
    return None


def count_refusal(reply: httpx.Response, tally: Tally) -> None:
    """Count a refusal; any but that of the full queue is a fault."""
    by_rule = reply.status_code == 503 and "retry-after" in reply.headers
    tally.counts["queue full" if by_rule else f"status {reply.status_code}"] += 1


async def run_load(
    address: str, wanted: dict[str, str], clients: int, seconds: float, tally: Tally
) -> None:
    """Let clients ask for some time."""
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=180, limits=limits) as client:
        await asyncio.gather(
            *(run_client(client, wanted, end, tally, seed) for seed in range(clients))
        )


def measure_memory(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of the server in MiB."""
    return psutil.Process(process.pid).memory_info().rss / 2**20


def main() -> int:
    """Run the load and the restart; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slots", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pace-load-") as place:
        folder, papers = Path(place), Path(place, "papers")
        papers.mkdir()
        questions = write_papers(papers)
        process, address = start_server(folder, papers, given.slots)
        wanted = {question: ask_alone(address, question) for question in questions}
        tally, half = Tally(), given.seconds / 2
        asyncio.run(run_load(address, wanted, given.clients, half, tally))
        before = measure_memory(process)
        asyncio.run(run_load(address, wanted, given.clients, half, tally))
        after = measure_memory(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start = time.monotonic()
        process, address = start_server(folder, papers, given.slots)
        opened = time.monotonic() - start
        same = all(ask_alone(address, question) == wanted[question] for question in questions)
        figures = httpx.get(f"{address}/v1/vector_stores").json()["data"][0]["pace"]
        process.terminate()
        process.wait()
    times = sorted(tally.seconds)
    print(
        f"{given.clients} clients, {given.seconds:g} s, {given.slots} slots: {dict(tally.counts)}"
    )
    print(f"{len(times) / given.seconds:.1f} answers/s, median {times[len(times) // 2]:.2f} s")
    print(f"resident memory {before:.0f} MiB at half time, {after:.0f} MiB at the end")
    read = figures["tokens_read"]
    print(
        f"killed and started again in {opened:.1f} s: answers the same: {same}; {read} tokens read"
    )
    print("\n".join(tally.examples[:5]))
    allowed = {"answered", "left", "queue full"}
    faults = sum(count for name, count in tally.counts.items() if name not in allowed)
    return int(bool(faults) or not same or read != 0 or after > before * _GROWTH)


if __name__ == "__main__":
    sys.exit(main())
