"""`connector send`: sends invented callbacks to a running bridge, as a simulator and load generator."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import httpx2
import typer
from rich.progress import Progress

from connector.commands import show
from connector.commands.options import AsJson, Rate
from connector.dev.invented.callbacks import TYPES, callbacks, shuffled, with_duplicates, with_malformed
from connector.dev.invented.event import Invented
from connector.errors import ConfigurationInvalid, OtherSideFailed

_CONCURRENCY = 32
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

app = typer.Typer()


@app.command("send")
def send_command(  # noqa: PLR0913 - one argument for each option
    types: Annotated[
        list[str] | None,
        typer.Argument(help=f"Types to send: {', '.join(TYPES)}.", metavar="TYPE", autocompletion=lambda: TYPES),
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Send every type.")] = False,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of callbacks, without malformed ones and duplicates. With --all, each type is sent at least once.",
        ),
    ] = None,
    rate: Rate = 0,
    url: Annotated[str, typer.Option(help="Callback URL of the bridge.")] = "http://127.0.0.1:8080/callbacks/kaleyra",
    header: Annotated[list[str] | None, typer.Option(help="Header to send, as 'Name: value'. Can be repeated.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed sends the same callbacks. Default: taken from the clock.")
    ] = None,
    malformed: Annotated[bool, typer.Option("--malformed", help="Add malformed bodies, on top of the count.")] = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Send some callbacks twice, on top of the count.")] = False,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send the callbacks out of order.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send invented callbacks to a running bridge."""
    if not types and not every:
        raise ConfigurationInvalid([f"name the types to send ({', '.join(TYPES)}), or use --all"])
    kinds = TYPES if every else tuple(types or ())
    headers = headers_of(header or ())
    load = Load(
        kinds=kinds,
        count=max(count or 0, len(kinds)) if every or not count else count,
        rate=rate,
        seed=seed if seed is not None else int(time.time()) & 0xFFFF,
        malformed=malformed,
        duplicates=duplicates,
        shuffle=shuffle,
    )
    send_load(load, url, headers, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `count` callbacks of these types in turn, at `rate` per second (0: no limit)."""

    kinds: tuple[str, ...]
    count: int
    rate: float
    seed: int
    malformed: bool
    duplicates: bool
    shuffle: bool

    def callbacks(self) -> Iterator[Invented]:
        """Yield the callbacks; the same seed yields the same ones."""
        given = callbacks(self.kinds, self.count, self.seed)
        if self.malformed:
            given = with_malformed(given)
        if self.duplicates:
            given = with_duplicates(given)
        return shuffled(given, self.seed) if self.shuffle else given


def send_load(load: Load, url: str, headers: Mapping[str, str], *, as_json: bool) -> None:
    """Send the callbacks and print how many got which answer.

    Raises:
        OtherSideFailed: if the bridge is unreachable, or any answer is not 200.
    """
    wrong = [kind for kind in load.kinds if kind not in TYPES]
    if wrong:
        raise ConfigurationInvalid([f"unknown type {', '.join(wrong)}; known are {', '.join(TYPES)}"])
    _require_valid_url(url)
    started = time.perf_counter()
    with Progress(console=show.err, transient=True, disable=not show.err.is_terminal) as progress:
        bar = progress.add_task("sending", total=None if load.malformed or load.duplicates else load.count)
        answers = asyncio.run(_send_all(load, url, headers, lambda: progress.advance(bar)))
    seconds = time.perf_counter() - started
    sent = answers.total()
    if as_json:
        show.as_json({"sent": sent, "seed": load.seed, "answers": dict(answers)})
    else:
        counts = ", ".join(f"{number} x {status}" for status, number in sorted(answers.items()))
        show.out.print(f"{sent} callbacks of seed {load.seed} in {seconds:.1f} s: {counts}")
    if "ConnectError" in answers:
        raise OtherSideFailed(f"nothing listens at {url}; is the bridge running? (make run, connector serve)")
    if set(answers) - {"200"}:
        raise OtherSideFailed(f"{url} did not answer 200 to every callback")


async def post_callback(
    client: httpx2.AsyncClient, url: str, callback: Invented, headers: Mapping[str, str] = _NO_HEADERS
) -> httpx2.Response:
    """Send one callback like Kaleyra."""
    target = f"{url}{'&' if '?' in url else '?'}{callback.query}" if callback.query else url
    kind = {"content-type": "application/json"} if callback.body else {}
    return await client.request(callback.method, target, content=callback.body, headers={**kind, **headers})


def headers_of(texts: Iterable[str]) -> dict[str, str]:
    """Return headers given as `Name: value`.

    Raises:
        ConfigurationInvalid: if one has another form.
    """
    pairs = [text.partition(":") for text in texts]
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    are_values = all(value.isascii() and value.isprintable() for value in headers.values())
    if not (all(colon for _, colon, _ in pairs) and all(map(_HEADER_NAME.fullmatch, headers)) and are_values):
        raise ConfigurationInvalid(["--header needs the form 'Name: value', in ASCII, with a name without blanks"])
    return headers


def _require_valid_url(url: str) -> None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
        raise ConfigurationInvalid(["--url needs the form http://host:port/path"])


async def _send_all(load: Load, url: str, headers: Mapping[str, str], done: Callable[[], None]) -> "Counter[str]":
    answers: Counter[str] = Counter()
    given = load.callbacks()
    started = time.perf_counter()
    sent = 0

    async def sender(client: httpx2.AsyncClient) -> None:
        nonlocal sent
        for callback in given:
            sent += 1
            if load.rate:
                await asyncio.sleep(max(0.0, started + sent / load.rate - time.perf_counter()))
            try:
                response = await post_callback(client, url, callback, headers)
                answers[str(response.status_code)] += 1
            except httpx2.HTTPError as error:
                answers[type(error).__name__] += 1
            done()

    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        await asyncio.gather(*(sender(client) for _ in range(_CONCURRENCY)))
    return answers
