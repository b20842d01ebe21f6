"""A small schema registry for `connector dev` and tests, with Confluent's REST API over `Subjects`.

For one machine: no authentication, nothing on disk, Avro without references. The API is documented at
https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.dev.embedded.subjects import Refused, Subjects

MAX_BODY_BYTES: Final = 1024 * 1024
CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"

_Body = TypeVar("_Body")
_Call = Callable[[Subjects, Request], Awaitable[object]]


class SchemaRequest(msgspec.Struct, rename="camel"):
    """The body with a schema; Confluent's further keys (metadata, rules) are ignored."""

    schema: str = ""
    schema_type: str | None = None
    references: list[Any] | None = None

    def avro(self) -> str:
        """Return the text of the schema; refuse other schema types and references."""
        if self.schema_type not in (None, "AVRO"):
            raise Refused(42201, f"Invalid schema: type {self.schema_type} is not supported, AVRO is.")
        if self.references:
            raise Refused(42201, "Invalid schema: references are not supported.")
        return self.schema


class LevelRequest(msgspec.Struct):
    """The body that sets a compatibility level."""

    compatibility: str = ""


class ModeRequest(msgspec.Struct):
    """The body that sets a mode."""

    mode: str = ""


def create_registry() -> Starlette:
    """Return an empty registry as an ASGI application, which holds its state."""
    subjects = Subjects()
    routes = [Route(path, _endpoint(subjects, call), methods=[method]) for method, path, call in _CALLS]
    registry = Starlette(
        routes=routes,
        middleware=[Middleware(_routed_by_encoded_path)],
        exception_handlers=dict.fromkeys((Refused, HTTPException, ClientDisconnect), _refuse),
    )
    # A redirect would encode the path a second time.
    registry.router.redirect_slashes = False
    return registry


async def _hello(_subjects: Subjects, _request: Request) -> dict[str, str]:
    return {}


async def _schema_types(_subjects: Subjects, _request: Request) -> list[str]:
    return ["AVRO"]


async def _mode(subjects: Subjects, request: Request) -> dict[str, str]:
    return {"mode": subjects.mode_in_force(_part_if_any(request, "subject"))}


async def _set_mode(subjects: Subjects, request: Request) -> dict[str, str]:
    mode = (await _read(request, ModeRequest)).mode
    subjects.set_mode(_part_if_any(request, "subject"), mode)
    return {"mode": mode}


async def _clear_mode(subjects: Subjects, request: Request) -> dict[str, str]:
    return {"mode": subjects.clear_mode(_part(request, "subject"))}


async def _names(subjects: Subjects, request: Request) -> list[str]:
    return subjects.names(prefix=request.query_params.get("subjectPrefix", ""), deleted=_flag(request, "deleted"))


async def _look_up(subjects: Subjects, request: Request) -> dict[str, Any]:
    body = await _read(request, SchemaRequest)
    return asdict(subjects.look_up(_part(request, "subject"), body.avro(), deleted=_flag(request, "deleted")))


async def _delete(subjects: Subjects, request: Request) -> list[int]:
    return subjects.delete(_part(request, "subject"), permanent=_flag(request, "permanent"))


async def _register(subjects: Subjects, request: Request) -> dict[str, int]:
    body = await _read(request, SchemaRequest)
    return {"id": subjects.register(_part(request, "subject"), body.avro())}


async def _versions(subjects: Subjects, request: Request) -> list[int]:
    return subjects.versions(_part(request, "subject"), deleted=_flag(request, "deleted"))


async def _version(subjects: Subjects, request: Request) -> dict[str, Any]:
    deleted = _flag(request, "deleted")
    return asdict(subjects.version(_part(request, "subject"), _part(request, "version"), deleted=deleted))


async def _version_schema(subjects: Subjects, request: Request) -> object:
    return json.loads((await _version(subjects, request))["schema"])


async def _delete_version(subjects: Subjects, request: Request) -> int:
    permanent = _flag(request, "permanent")
    return subjects.delete_version(_part(request, "subject"), _part(request, "version"), permanent=permanent)


async def _schema(subjects: Subjects, request: Request) -> dict[str, str]:
    return {"schema": subjects.schema(_part(request, "id"))}


async def _schema_alone(subjects: Subjects, request: Request) -> object:
    return json.loads(subjects.schema(_part(request, "id")))


async def _schema_versions(subjects: Subjects, request: Request) -> list[dict[str, Any]]:
    uses = subjects.uses(_part(request, "id"), deleted=_flag(request, "deleted"))
    return [{"subject": subject, "version": version} for subject, version in uses]


async def _schema_subjects(subjects: Subjects, request: Request) -> list[str]:
    uses = subjects.uses(_part(request, "id"), deleted=_flag(request, "deleted"))
    return sorted({subject for subject, _ in uses})


async def _check(subjects: Subjects, request: Request) -> dict[str, Any]:
    body = await _read(request, SchemaRequest)
    faults = subjects.incompatibilities(_part(request, "subject"), body.avro(), _part_if_any(request, "version"))
    answer: dict[str, Any] = {"is_compatible": not faults}
    return answer | {"messages": faults} if _flag(request, "verbose") else answer


async def _level(subjects: Subjects, request: Request) -> dict[str, str]:
    level_of = subjects.level_in_force if _flag(request, "defaultToGlobal") else subjects.level
    return {"compatibilityLevel": level_of(_part_if_any(request, "subject"))}


async def _set_level(subjects: Subjects, request: Request) -> dict[str, str]:
    level = (await _read(request, LevelRequest)).compatibility
    subjects.set_level(_part_if_any(request, "subject"), level)
    return {"compatibility": level}


async def _clear_level(subjects: Subjects, request: Request) -> dict[str, str]:
    return {"compatibilityLevel": subjects.clear_level(_part_if_any(request, "subject"))}


_CALLS: Final[tuple[tuple[str, str, _Call], ...]] = (
    ("GET", "/", _hello),
    ("GET", "/mode", _mode),
    ("PUT", "/mode", _set_mode),
    ("GET", "/mode/{subject}", _mode),
    ("PUT", "/mode/{subject}", _set_mode),
    ("DELETE", "/mode/{subject}", _clear_mode),
    ("GET", "/subjects", _names),
    ("POST", "/subjects/{subject}", _look_up),
    ("DELETE", "/subjects/{subject}", _delete),
    ("POST", "/subjects/{subject}/versions", _register),
    ("GET", "/subjects/{subject}/versions", _versions),
    ("GET", "/subjects/{subject}/versions/{version}", _version),
    ("GET", "/subjects/{subject}/versions/{version}/schema", _version_schema),
    ("DELETE", "/subjects/{subject}/versions/{version}", _delete_version),
    ("GET", "/schemas/types", _schema_types),
    ("GET", "/schemas/ids/{id}", _schema),
    ("GET", "/schemas/ids/{id}/schema", _schema_alone),
    ("GET", "/schemas/ids/{id}/versions", _schema_versions),
    ("GET", "/schemas/ids/{id}/subjects", _schema_subjects),
    ("POST", "/compatibility/subjects/{subject}/versions", _check),
    ("POST", "/compatibility/subjects/{subject}/versions/{version}", _check),
    ("GET", "/config", _level),
    ("PUT", "/config", _set_level),
    ("DELETE", "/config", _clear_level),
    ("GET", "/config/{subject}", _level),
    ("PUT", "/config/{subject}", _set_level),
    ("DELETE", "/config/{subject}", _clear_level),
)


def _endpoint(subjects: Subjects, call: _Call) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _answer(200, await call(subjects, request))

    return endpoint


def _answer(status: int, content: object) -> Response:
    # json.dumps escapes what UTF-8 cannot encode, such as a lone surrogate in a refused name.
    return Response(json.dumps(content), status, media_type=CONTENT_TYPE)


async def _refuse(_request: Request, fault: Exception) -> Response:
    match fault:
        case Refused(error_code=code) | HTTPException(status_code=code):
            return _answer(int(str(code)[:3]), {"error_code": code, "message": str(fault)})
    # The client has disconnected and reads no answer.
    return _answer(400, {"error_code": 400, "message": "The body ended early."})


async def _read(request: Request, kind: type[_Body]) -> _Body:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, f"The body has more than {MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Refused(400, f"The body is not as expected: {fault}") from fault


def _part(request: Request, name: str) -> str:
    return unquote(request.path_params[name])


def _part_if_any(request: Request, name: str) -> str | None:
    return _part(request, name) if name in request.path_params else None


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _routed_by_encoded_path(app: ASGIApp) -> ASGIApp:
    """Match routes against the raw path, so that a subject can contain an encoded slash."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        raw_path = scope.get("raw_path")
        await app({**scope, "path": raw_path.decode("latin-1")} if raw_path else scope, receive, send)

    return routed
