"""The ASGI endpoints of the data port: callbacks, tokens, health, and 404.

A request becomes a `Request` and, once it is known to be authentic, a `RawCallback`; `Flow` does the rest. Nothing here
logs a URL, a header or a body.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from connector import answers
from connector.http.body import BodyReader, Disconnected, Room
from connector.http.refusals import Refuse
from connector.http.token_endpoint import LONGEST_BODY, ONLY_POST, TokenIssuer
from connector.logs import event, fault_location
from connector.metrics import Metrics
from connector.pipeline.flow import Flow
from connector.records import Answer, Request
from connector.settings.tables import Http

_LONGEST_QUERY: Final = {"POST": 8192, "PUT": 8192, "GET": 57_344, "DELETE": 57_344}
"""The methods of Kaleyra's callback profiles. The query of a GET or DELETE may hold a whole message: 4,096 characters, of which
each can be nine or more once it is encoded."""
_EMPTY_BODY: Final = {"type": "http.response.body", "body": b""}
_NO_LENGTH: Final = (b"content-length", b"0")


class CallbackEndpoint:
    """The ASGI endpoint of the callback route. `flow` returns None until the bridge is ready; `clock` is `time.time_ns`."""

    def __init__(
        self, http: Http, flow: Callable[[], Flow | None], metrics: Metrics, clock: Callable[[], int], refuse: Refuse
    ) -> None:
        self._http = http
        self._refuse = refuse
        self._flow = flow
        self._clock = clock
        self._in_flight = 0
        self._room = Room(http.max_bytes_in_flight)
        self._seconds = metrics.acknowledgement_seconds
        self._answered = {kind: metrics.tally(metrics.callbacks.labels(f"{kind}xx")) for kind in (2, 4, 5)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one callback; nothing but an answer of the delivery guarantee ever leaves."""
        started = time.perf_counter()
        self._in_flight += 1
        reader = BodyReader(self._room, self._http.max_body_bytes, scope, receive, self._clock)
        try:
            flow = self._flow()
            if refusal := _refusal_of_request(scope):
                answer = refusal
            elif flow is None:
                answer = answers.NOT_READY
            elif self._in_flight > self._http.max_callbacks_in_flight:
                answer = answers.NO_ROOM
            else:
                credential = flow.admit(_request(scope))
                if isinstance(credential, Answer):
                    answer = credential
                else:
                    raw = await reader.callback()
                    answer = raw if isinstance(raw, Answer) else await flow.carry(raw, credential)
        except Disconnected:
            return
        except asyncio.CancelledError:
            # Only a server that stops does this, when the time to drain is over. What becomes of the records is not known.
            answer = answers.CUT_OFF
        except Exception as unexpected:  # noqa: BLE001 - the last line: 503 and a log line with no content, never a traceback
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            answer = answers.INTERNAL_ERROR
        finally:
            self._in_flight -= 1
            self._room.bytes_left += reader.size_bytes
        self._answered[answer.status // 100].count += 1
        if answer.status in (200, 503):
            self._seconds.observe(time.perf_counter() - started)
        if answer.refusal:
            self._refuse(answer.refusal, _request(scope), scope["method"])
        await _send(answer, send)


class TokenEndpoint:
    """The ASGI endpoint at which a client of the kind oauth asks for a token."""

    def __init__(self, issuer: TokenIssuer, refuse: Refuse) -> None:
        self._issuer = issuer
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a token."""
        try:
            answer = await self._answer(scope, receive)
        except Disconnected:
            return
        except asyncio.CancelledError:
            answer = answers.CUT_OFF
        except Exception as unexpected:  # noqa: BLE001 - as above: no traceback, and no content
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            answer = answers.INTERNAL_ERROR
        if answer.refusal:
            self._refuse(answer.refusal, _request(scope), scope["method"])
        await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return ONLY_POST
        request = _request(scope)
        if refusal := self._issuer.refusal(request):
            return refusal
        reader = BodyReader(Room(LONGEST_BODY), LONGEST_BODY, scope, receive, time.time_ns)
        asked = await reader.callback()
        return asked if isinstance(asked, Answer) else self._issuer.answer(request, asked)


class HealthEndpoint:
    """The ASGI endpoint for load balancers, which reach only the data port. It gives no reasons, and no metric counts it."""

    def __init__(self, is_healthy: Callable[[], bool], refuse: Refuse) -> None:
        self._is_healthy = is_healthy
        self._refuse = refuse

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer whether this worker is to get callbacks."""
        if scope["method"] not in ("GET", "HEAD"):
            self._refuse("wrong_method", _request(scope), scope["method"])
            await _send(answers.ONLY_GET, send)
        else:
            await _send(answers.HEALTHY if self._is_healthy() else answers.UNHEALTHY, send)


class NotFoundEndpoint:
    """The ASGI endpoint of every other path: 404, and the connection is closed as by 401, since a stranger sends it."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._refuse("wrong_path", _request(scope), scope["method"])
        await _send(answers.WRONG_PATH, send)


def _refusal_of_request(scope: Scope) -> Answer | None:
    """Return the answer to a request that is refused from any caller and with any body."""
    method = scope["method"]
    if method not in _LONGEST_QUERY:
        return answers.WRONG_METHOD
    if len(scope["query_string"]) > _LONGEST_QUERY[method]:
        return answers.TARGET_TOO_LONG
    return None


def _request(scope: Scope) -> Request:
    peer = scope.get("client")
    # The path of another endpoint has no parameters.
    return Request(scope["headers"], scope.get("path_params", {}).get("token"), peer[0] if peer else "")


async def _send(answer: Answer, send: Send) -> None:
    length = (b"content-length", b"%d" % len(answer.body)) if answer.body else _NO_LENGTH
    await send({"type": "http.response.start", "status": answer.status, "headers": (length, *answer.headers)})
    await send({"type": "http.response.body", "body": answer.body} if answer.body else _EMPTY_BODY)
