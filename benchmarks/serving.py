"""Many clients at once against a real server of a library: latency by kind of request, and errors.

    python benchmarks/serving.py --library music.sqlite --clients 50 --seconds 60

The server is a process of its own on the loopback. Each client asks one thing after the other without a
pause: search by track, search by three words of which hardly two queries have the same, a page of tracks, a
waveform, or a range of 256 kB of audio. Words and each waveform are asked for once before, and how long that
takes is printed; --words gives what queries in words cost one after the other, with the processor time of the
server. It takes: pip install 'solfa[serve]' httpx
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import numpy as np

RANGE_BYTES = 256 * 1024
KINDS = ("search", "words", "tracks", "waveform", "audio")
SHARES = (3, 1, 2, 2, 3)
WORDS = (
    *("calm", "dark", "fast", "slow", "happy", "sad", "tense", "loud", "quiet", "warm", "cold", "bright"),
    *("piano", "guitar", "strings", "drums", "choir", "organ", "flute", "bass", "harp", "brass", "bells"),
    *("battle", "forest", "night", "rain", "sea", "dance", "march", "waltz", "jazz", "metal", "folk"),
)

Times = dict[str, list[float]]  # latencies in ms by kind


def start(library: Path) -> tuple[subprocess.Popen[str], str]:
    """A server and its address."""
    command = [sys.executable, "-m", "solfa", "serve", str(library), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if "http://" in line:
            return process, line[line.index("http://") :].split("/  ")[0]
    raise SystemExit("The server did not start.")


def path_of(kind: str, id: int) -> tuple[str, dict[str, str]]:
    """What to ask for, and with which headers."""
    if kind == "search":
        return f"/api/search?q={id}&n=20", {}
    if kind == "words":
        return f"/api/search?q={'%20'.join(random.sample(WORDS, 3))}&n=20", {}
    if kind == "tracks":
        return "/api/tracks?n=20", {}
    if kind == "waveform":
        return f"/api/tracks/{id}/waveform", {}
    begin = random.randrange(0, RANGE_BYTES)
    return f"/api/tracks/{id}/audio", {"Range": f"bytes={begin}-{begin + RANGE_BYTES - 1}"}


async def ask(
    client: httpx.AsyncClient,
    ids: list[int],
    until: float,
    times: dict[str, list[float]],
    errors: Counter[str],
) -> None:
    """One client: requests until the time is over."""
    while time.perf_counter() < until:
        kind = random.choices(KINDS, SHARES)[0]
        path, headers = path_of(kind, random.choice(ids))
        begun = time.perf_counter()
        try:
            answer = await client.get(path, headers=headers)
        except httpx.HTTPError as error:
            errors[f"{kind}: {type(error).__name__}"] += 1
            continue
        times[kind].append(1000 * (time.perf_counter() - begun))
        if answer.status_code not in (200, 206):
            errors[f"{kind}: {answer.status_code}"] += 1


async def timed(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> float:
    """Milliseconds of an answer."""
    begun = time.perf_counter()
    (await client.get(path, headers=headers)).raise_for_status()
    return 1000 * (time.perf_counter() - begun)


def processor_ms(process: subprocess.Popen[str]) -> float:
    """Processor time of a process so far; of Linux only."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask_in_words(address: str, process: subprocess.Popen[str], n: int) -> None:
    """Queries in words, one after the other: what they take on the clock, and of the server's processor."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        first = await timed(client, *path_of("words", 0))
        before = processor_ms(process)
        took = [await timed(client, *path_of("words", 0)) for _ in range(n)]
        worked = (processor_ms(process) - before) / n
    p50, p95 = np.percentile(took, [50, 95])
    print(f"words: first {first:.0f} ms, then p50 {p50:.1f}, p95 {p95:.1f}, processor {worked:.1f} ms")


async def load(address: str, n_clients: int, seconds: float) -> tuple[Times, Counter[str]]:
    """Latencies in ms by kind, and errors."""
    times: Times = defaultdict(list)
    errors: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=n_clients, max_keepalive_connections=n_clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
        first = await timed(client, *path_of("words", 0))
        print(f"the first query in words: {first:.0f} ms")
        ids = [track["id"] for track in (await client.get("/api/tracks?n=200")).json()["tracks"]]
        begun = time.perf_counter()
        for id in ids:
            await client.get(f"/api/tracks/{id}/waveform")
        each = 1000 * (time.perf_counter() - begun) / len(ids)
        print(f"{len(ids)} waveforms, one after the other: {each:.0f} ms each")
        until = time.perf_counter() + seconds
        await asyncio.gather(*(ask(client, ids, until, times, errors) for _ in range(n_clients)))
    return times, errors


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--words", type=int, default=0, help="only so many queries in words")
    options = parser.parse_args()
    process, address = start(options.library)
    try:
        if options.words:
            asyncio.run(ask_in_words(address, process, options.words))
            return
        times, errors = asyncio.run(load(address, options.clients, options.seconds))
    finally:
        process.terminate()
        process.wait(timeout=30)
    n_all = sum(len(values) for values in times.values())
    rate = n_all / options.seconds
    print(f"{options.clients} clients, {options.seconds:g} s: {n_all} answers, {rate:.0f} per second")
    print(f"{'ms':10}{'answers':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for kind in KINDS:
        p50, p95, p99, most = np.percentile(times[kind], [50, 95, 99, 100])
        print(f"{kind:10}{len(times[kind]):9}{p50:9.1f}{p95:9.1f}{p99:9.1f}{most:9.1f}")
    print(f"errors: {dict(errors) or 0}")


if __name__ == "__main__":
    main()
