"""The Starlette application of the data port: the callback path, the token endpoint, the health path, else 404.

The callback route's endpoint is a raw ASGI object; there is no middleware.
"""

import time
from collections.abc import Awaitable, Callable

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.http.endpoints import CallbackEndpoint, HealthEndpoint, NotFoundEndpoint, TokenEndpoint
from connector.http.refusals import Refusals
from connector.http.token_endpoint import TokenIssuer
from connector.metrics import Metrics
from connector.pipeline.flow import Flow
from connector.settings.tables import Http


def create_app(
    http: Http,
    flow: Callable[[], Flow | None],
    metrics: Metrics,
    issuer: TokenIssuer | None = None,
    clock: Callable[[], int] = time.time_ns,
    refusals: Refusals | None = None,
    is_healthy: Callable[[], bool] | None = None,
) -> ASGIApp:
    """Return the data port's application: the callback path with and without token and trailing slash.

    With an `issuer`, tokens are given at its path. `refusals` are those of the listener in front; without, its own.
    `is_healthy` is what the health path answers; by default, whether there is a flow.
    """
    refuse = (refusals or Refusals(metrics)).add
    endpoint = CallbackEndpoint(http, flow, metrics, clock, refuse)
    paths = (http.path, f"{http.path}/", f"{http.path}/{{token}}", f"{http.path}/{{token}}/")
    # Starlette's router alone: its application adds two layers that answer errors, and the endpoint lets none out.
    # A redirect would carry the URL's token. 404 closes the connection, as 401 does: a stranger sends it.
    routes = [Route(path, endpoint) for path in paths]
    if issuer:
        routes.append(Route(issuer.path, TokenEndpoint(issuer, refuse)))
    if http.health_path:
        routes.append(Route(http.health_path, HealthEndpoint(is_healthy or (lambda: flow() is not None), refuse)))
    router = Router(routes, redirect_slashes=False, default=NotFoundEndpoint(refuse))

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Nearly every request: the router would search its routes by regular expressions and find this one.
        if scope.get("path") == http.path:
            scope["path_params"] = {}
            return endpoint(scope, receive, send)
        return router(scope, receive, send)

    return app
