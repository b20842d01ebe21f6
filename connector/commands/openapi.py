"""`connector openapi`: the data port as an OpenAPI 3.1 document: the callback URL, the token endpoint, and their answers.

Settings in, the document out. Answers and their meanings are those of the reference; examples are invented callbacks.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl

import typer

from connector import __version__
from connector.commands import openapi_responses as responses
from connector.commands.options import Config
from connector.commands.resources import open_settings
from connector.dev.invented.callbacks import callback
from connector.records import PROFILE_KEYS, Json
from connector.settings.load import load_settings
from connector.settings.tables import Credential, Settings

_EXAMPLES: Final = ("order", "document", "status_read", "v1_message", "template_status", "on_premises")
"""Types of invented callbacks that are examples of bodies: one for each shape."""
_BY_GET: Final = "v1_message_by_get"
_MEDIA: Final = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_OF_PROFILES: Final = (_MEDIA["form"], "multipart/form-data", "application/xml")
"""The other types of bodies that are read: a form, a form in parts, and flat XML."""
_ALL_KINDS: Final[tuple[Json, ...]] = (
    {"kind": "header", "header_name": "X-Callback-Secret", "secret": "s"},
    {"kind": "basic", "user": "user", "secret": "s"},
    {"kind": "bearer", "secret": "0123456789abcdef"},
    {"kind": "url_token", "secret": "0123456789abcdef"},
    {"kind": "oauth", "client_id": "client", "secret": "0123456789abcdef"},
    {"kind": "network", "networks": ["127.0.0.1/32"]},
)

app = typer.Typer()


@app.command("openapi")
def openapi_command(
    *,
    config: Config = None,
    every_credential: Annotated[
        bool, typer.Option("--every-credential", help="Describe every kind of credential, not those of the settings.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="URL of the bridge for its callers, without a path. Default: http.port here.")
    ] = None,
) -> None:
    """Print the callback URL as an OpenAPI 3.1 document, in JSON, which YAML parsers read too. It contains no secret."""
    settings, credentials = _of_every_kind(config) if every_credential else _of_settings(config)
    typer.echo(json.dumps(document(settings, credentials, url or ""), ensure_ascii=False, indent=2))


def document(settings: Settings, credentials: Mapping[str, Credential | None], url: str = "") -> Json:
    """Return the whole document; `credentials` are those of the callers by name, None for callers without one."""
    path = settings.http.path
    schemes = dict(_schemes(settings, credentials))
    paths: Json = {}
    in_url = [name for name, one in credentials.items() if one and one.kind == "url_token"]
    if len(in_url) < len(credentials):
        paths[path] = _callbacks("", _alternatives(settings, credentials))
    if in_url:
        paths[f"{path}/{{token}}"] = _callbacks(
            "_with_token", [{"client_certificate": []}] if settings.tls.client_ca_path else []
        )
    if any(one and one.kind == "oauth" for one in credentials.values()):
        paths[settings.oauth.path] = {"post": _tokens()}
        schemes["client"] = {"type": "http", "scheme": "basic", "description": "client_id and client_secret, for a token."}
    if settings.http.health_path:
        paths[settings.http.health_path] = _health()
    scheme = "https" if settings.tls.certificate_path else "http"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kaleyra WhatsApp connector",
            "version": __version__,
            "description": (
                "2xx means that the callback is stored durably. After anything else, send it again: a second delivery is "
                "harmless, since its records have the same ids."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url.rstrip("/") or f"{scheme}://localhost:{settings.http.port}"}],
        "tags": [{"name": "callbacks"}, {"name": "tokens"}, {"name": "health"}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": schemes},
    }


def _of_settings(config: Path | None) -> tuple[Settings, dict[str, Credential | None]]:
    settings = load_settings(config)
    given = settings.authentication
    found: dict[str, Credential | None] = dict(given.credentials)
    if given.header_name:
        found["header"] = Credential(kind="header", header_name=given.header_name, secret=given.header_value)
    if given.url_token.get_secret_value():
        found["url_token"] = Credential(kind="url_token", secret=given.url_token)
    if given.allow_anyone:
        found["anyone"] = None
    return settings, found


def _of_every_kind(config: Path | None) -> tuple[Settings, dict[str, Credential | None]]:
    return open_settings(config), {one["kind"]: Credential.model_validate(one) for one in _ALL_KINDS}


def _schemes(settings: Settings, credentials: Mapping[str, Credential | None]) -> Iterator[tuple[str, Json]]:
    for name, one in credentials.items():
        match one.kind if one else None:
            case "header":
                assert one
                yield name, {"type": "apiKey", "in": "header", "name": one.header_name}
            case "basic":
                yield name, {"type": "http", "scheme": "basic"}
            case "bearer":
                yield name, {"type": "http", "scheme": "bearer"}
            case "oauth":
                flow = {"tokenUrl": settings.oauth.path, "scopes": {}}
                yield name, {"type": "oauth2", "flows": {"clientCredentials": flow}}
    if settings.tls.client_ca_path:
        yield "client_certificate", {"type": "mutualTLS", "description": "A certificate of tls.client_ca_path."}


def _alternatives(settings: Settings, credentials: Mapping[str, Credential | None]) -> list[Json]:
    """Return what a request can be authenticated by: one of these. An empty one needs a source address, or nothing."""
    always: Json = {"client_certificate": []} if settings.tls.client_ca_path else {}
    found: list[Json] = []
    for name, one in credentials.items():
        if one and one.kind == "url_token":
            continue
        alternative = always if one is None or one.kind == "network" else {name: [], **always}
        if alternative not in found:
            found.append(alternative)
    return found


def _callbacks(suffix: str, security: list[Json]) -> Json:
    token = {
        "name": "token",
        "in": "path",
        "required": True,
        "description": "The secret of a credential of the kind url_token.",
        "schema": {"type": "string", "minLength": 16, "pattern": "^[A-Za-z0-9_-]+$"},
    }
    example = dict(parse_qsl(callback(_BY_GET, 0).query, keep_blank_values=True))
    fields = {
        "name": "fields",
        "in": "query",
        "style": "form",
        "explode": True,
        "description": "The fields of a callback profile.",
        "schema": {"$ref": "#/components/schemas/Profile"},
        "example": example,
    }
    bodies = {
        _MEDIA["json"]: {"schema": {"$ref": "#/components/schemas/Callback"}, "examples": dict(_examples())},
        **{media: {"schema": {"$ref": "#/components/schemas/Profile"}} for media in _OF_PROFILES},
    }
    by_body: Json = {
        "summary": "Send a callback.",
        "description": (
            "Without a body, the query is read. A body that cannot be read becomes a dead letter, with the same answer: it "
            "would become one again."
        ),
        "requestBody": {"required": False, "content": bodies},
    }
    by_query: Json = {"summary": "Send a callback in the query.", "parameters": [fields]}
    shared = {"tags": ["callbacks"], "security": security, "responses": responses.of_callbacks()}
    methods = {"post": by_body, "put": by_body, "get": by_query, "delete": by_query}
    operations = {method: {"operationId": f"{method}_callback{suffix}", **given, **shared} for method, given in methods.items()}
    return {**({"parameters": [token]} if suffix else {}), **operations}


def _health() -> Json:
    """Return the health path: for load balancers, which have no credential."""
    shared: Json = {"tags": ["health"], "security": [], "responses": responses.of_health()}
    methods = ("get", "head")
    return {
        method: {"operationId": f"{method}_health", "summary": "Ask whether callbacks are taken.", **shared}
        for method in methods
    }


def _tokens() -> Json:
    token = {"schema": {"$ref": "#/components/schemas/Token"}}
    form = {"schema": {"$ref": "#/components/schemas/TokenRequest"}}
    return {
        "tags": ["tokens"],
        "operationId": "post_token",
        "summary": "Ask for a token: the client credentials grant of RFC 6749.",
        "security": [{"client": []}, {}],
        "requestBody": {"required": False, "content": {_MEDIA["form"]: form, _MEDIA["json"]: form}},
        "responses": {
            "200": {
                "description": "A token for the client.",
                "headers": {"cache-control": {"schema": {"type": "string", "enum": ["no-store"]}}},
                "content": {_MEDIA["json"]: token},
            },
            **responses.of_tokens(),
        },
    }


def _examples() -> Iterator[tuple[str, Json]]:
    for kind in _EXAMPLES:
        yield kind, {"value": json.loads(callback(kind, 0).body)}


_SCHEMAS: Final[Json] = {
    "Callback": {
        "description": "Any shape that Kaleyra sends, recognised by its keys. Further keys are allowed everywhere.",
        "anyOf": [{"$ref": "#/components/schemas/Envelope"}, {"$ref": "#/components/schemas/Profile"}, {"type": "object"}],
    },
    "Envelope": {
        "type": "object",
        "description": "The V2 envelope.",
        "required": ["meta_object"],
        "properties": {
            "meta_object": {
                "type": ["object", "string"],
                "description": "Meta's change object, or its JSON text.",
                "properties": {"field": {"type": "string"}, "value": {"type": "object"}},
            },
            "extra_info": {"type": ["object", "array", "null"], "description": "What Kaleyra adds."},
        },
    },
    "Profile": {
        "type": "object",
        "description": "The fields of a callback profile: a message, a status or a notice.",
        "properties": {name: {} for name in sorted(PROFILE_KEYS)},
    },
    "TokenRequest": {
        "type": "object",
        "description": "Id and secret are here, or in the header Authorization.",
        "properties": {
            "grant_type": {"type": "string", "enum": ["client_credentials"], "default": "client_credentials"},
            "client_id": {"type": "string"},
            "client_secret": {"type": "string", "format": "password"},
        },
    },
    "Token": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {
            "access_token": {"type": "string"},
            "token_type": {"type": "string", "enum": ["Bearer"]},
            "expires_in": {"type": "integer", "description": "Seconds."},
        },
    },
}
