"""`connector send`: invented callbacks to a running bridge; simulator and load generator."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import httpx2
from rich.progress import Progress

from connector import invented
from connector.commands import show
from connector.errors import ConfigurationInvalid, OtherSideFailed

_CONCURRENCY = 32


def run(kinds: Sequence[str], count: int, rate: float, url: str, headers: dict[str, str], *, as_json: bool) -> None:
    """Send `count` callbacks, `rate` a second (0: as fast as it goes), and tell what was answered.

    Raises:
        OtherSideFailed: when the bridge cannot be reached or answered anything but 200.
    """
    wrong = [kind for kind in kinds if kind not in invented.TYPES]
    if wrong:
        raise ConfigurationInvalid([f"there is no type {', '.join(wrong)} to send; there are {', '.join(invented.TYPES)}"])
    _require_address(url)
    bodies = invented.callbacks(kinds, count, seed=int(time.time()) & 0xFFFF)
    started = time.perf_counter()
    with Progress(console=show.err, transient=True, disable=not show.err.is_terminal) as progress:
        bar = progress.add_task("sending", total=count)
        answers = asyncio.run(_send(bodies, rate, url, headers, lambda: progress.advance(bar)))
    seconds = time.perf_counter() - started
    if as_json:
        show.as_json({"sent": count, "answers": {str(status): number for status, number in answers.items()}})
    else:
        show.out.print(f"{count} callbacks in {seconds:.1f} s: {', '.join(f'{n} x {s}' for s, n in sorted(answers.items()))}")
    if set(answers) - {"200"}:
        raise OtherSideFailed(f"{url} did not answer 200 to all of them")


def _require_address(url: str) -> None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
        raise ConfigurationInvalid(["--url needs the form http://host:port/path"])


async def _send(
    bodies: Iterator[bytes], rate: float, url: str, headers: dict[str, str], done: Callable[[], None]
) -> "Counter[str]":
    answers: Counter[str] = Counter()
    started = time.perf_counter()
    sent = 0

    async def sender(client: httpx2.AsyncClient) -> None:
        nonlocal sent
        for body in bodies:
            sent += 1
            if rate:
                await asyncio.sleep(max(0.0, started + sent / rate - time.perf_counter()))
            try:
                response = await client.post(url, content=body, headers={"content-type": "application/json", **headers})
                answers[str(response.status_code)] += 1
            except httpx2.HTTPError as error:
                answers[type(error).__name__] += 1
            done()

    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        await asyncio.gather(*(sender(client) for _ in range(_CONCURRENCY)))
    return answers
