"""The tables of config/connector.toml as frozen models: every setting with its default, unit and check.

`load` creates them. Secrets never show in a `repr`. Below `kafka.client`, `kafka.producer`, `kafka.consumer` and
`registry.client` are the clients' own property names: nested TOML tables are joined with dots, and underscores in the names of
environment variables become dots.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import InitSettingsSource as GivenSource

from connector.records import ProfileKey
from connector.seals import read_keys

PREFIX: Final = "CONNECTOR_"
NAME: Final = r"[a-z0-9]+(?:_[a-z0-9]+)*"
"""The pattern of a name that the user chooses for a credential or signing key."""
RESERVED: Final = (
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "partitioner",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "message.max.bytes",
    "allow.auto.create.topics",
)
"""Properties that the delivery guarantee depends on; settings that contain them are refused."""

TOKENS: Final = "token.provider"
"""Our own property beside librdkafka's: the source of tokens and its region. kafka/tokens.py replaces it by a callback."""

ENVELOPE_BYTES: Final = 65536
"""Allowance in a record beyond the body of its callback: headers, the other fields of a dead letter."""


def _dotted(table: Any) -> Any:
    """Join nested TOML tables with dots; `linger_ms` from the environment becomes `linger.ms`."""
    if not isinstance(table, dict):
        return table
    joined: dict[str, Any] = {}
    for name, value in table.items():
        dotted = name.replace("_", ".")
        if isinstance(value, dict):
            joined |= {f"{dotted}.{inner}": part for inner, part in _dotted(value).items()}
        else:
            joined[dotted] = value
    return joined


class Properties(dict[str, str | int | float | bool]):
    """A client's own properties. The `repr` shows the names only: some are secrets."""

    def __repr__(self) -> str:
        return f"Properties({', '.join(sorted(self))})"


def _without_reserved(properties: dict[str, Any]) -> dict[str, Any]:
    wrong = [name for name in properties if name in RESERVED]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)}: reserved, because the delivery guarantee depends on it; remove it "
            "(kafka.delivery_timeout_seconds and http.max_body_bytes set times and sizes)"
        )
    return properties


def _properties(defaults: Mapping[str, str | int]) -> Any:
    return Annotated[
        dict[str, str | int | float | bool],
        BeforeValidator(lambda table: {**defaults, **_dotted(table)} if isinstance(table, dict) else table),
        AfterValidator(_without_reserved),
        Field(default_factory=lambda: Properties(defaults), repr=False, validate_default=True),
    ]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Http(_Table):
    """The data listener."""

    host: str = "0.0.0.0"
    port: int = Field(8080, ge=0, le=65535)
    path: str = Field("/callbacks/kaleyra", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    health_path: str = Field("/readyz", pattern=r"^(|(/[A-Za-z0-9._~-]+)+)$", validate_default=True)
    max_body_bytes: int = Field(4194304, ge=1024, le=16777216)
    header_timeout_seconds: PositiveFloat = 10.0
    body_timeout_seconds: PositiveFloat = 30.0
    idle_timeout_seconds: PositiveFloat = 75.0
    max_connections: PositiveInt = 2000
    max_callbacks_in_flight: PositiveInt = 1000
    max_bytes_in_flight: int = Field(134217728, ge=1024)

    @field_validator("health_path")
    @classmethod
    def _health_path_is_no_callback_path(cls, value: str, info: ValidationInfo) -> str:
        if value and f"{value}/".startswith(f"{info.data.get('path', value + '?')}/"):
            raise ValueError("must not be http.path or below it, where URL tokens are; choose another, or empty for none")
        return value

    @field_validator("max_bytes_in_flight")
    @classmethod
    def _largest_body_fits(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("max_body_bytes", 0):
            raise ValueError("must be at least http.max_body_bytes; otherwise the largest body would never be accepted")
        return value


Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=40)]
"""The name of a credential or key: lower-case letters, digits and single underscores, so that a variable can contain it."""
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")]
Networks = Annotated[
    list[IPvAnyNetwork],
    # In the environment: comma-separated, or JSON.
    BeforeValidator(lambda given: [part.strip() for part in given.split(",")] if isinstance(given, str) else given),
]
SIMPLE: Final = ("header", "url_token", "anyone")
"""The names of the credentials that have no table."""
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "header": ("header_name", "secret"),
    "basic": ("user", "secret"),
    "bearer": ("secret",),
    "url_token": ("secret",),
    "oauth": ("client_id", "secret"),
    "network": ("networks",),
}


class Credential(_Table):
    """A credential that clients can use; `NEEDS` lists what each kind requires."""

    kind: Literal["header", "basic", "bearer", "url_token", "oauth", "network"]
    header_name: HeaderName = ""
    user: str = ""
    client_id: str = ""
    secret: SecretStr = SecretStr("")
    networks: Networks = Field(default_factory=list)
    max_callbacks_per_second: NonNegativeInt = 0

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        secret = self.secret.get_secret_value()
        given = {name for name in ("header_name", "user", "client_id", "networks") if getattr(self, name)}
        given |= {"secret"} if secret else set()
        needed = NEEDS[self.kind]
        problems = [f"the kind {self.kind} needs {name}" for name in needed if name not in given]
        problems += [f"the kind {self.kind} does not use {name}: remove it" for name in sorted(given - {*needed, "networks"})]
        problems += _problems_of_secret(self.kind, secret) if secret else []
        if not (
            f"{self.user}{self.client_id}".isascii() and f"{self.user}{self.client_id}".isprintable() and ":" not in self.user
        ):
            problems.append("user and client_id must be printable ASCII, and user without a colon")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _problems_of_secret(kind: str, secret: str) -> list[str]:
    problems = []
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        problems.append("secret must be printable ASCII without leading or trailing blanks")
    if kind in ("bearer", "url_token", "oauth") and len(secret) < 16:
        problems.append("secret must have at least 16 characters")
    if kind == "bearer" and not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", secret):
        problems.append("secret of a bearer can contain only letters, digits, . _ ~ + / - and trailing =")
    if kind == "url_token" and not re.fullmatch(r"[A-Za-z0-9_-]+", secret):
        problems.append("secret in a URL can contain only letters, digits, - and _")
    return problems


class Authentication(_Table):
    """Which clients can send callbacks."""

    header_name: HeaderName = ""
    header_value: SecretStr = Field(SecretStr(""), validate_default=True)
    url_token: SecretStr = SecretStr("")
    allow_anyone: bool = False
    trusted_proxies: Networks = Field(default_factory=list)
    max_callbacks_per_second: NonNegativeInt = 0
    credentials: dict[Name, Credential] = Field(default_factory=dict)

    @field_validator("credentials")
    @classmethod
    def _names_are_not_reserved(cls, value: dict[str, Credential]) -> dict[str, Credential]:
        if taken := [name for name in value if name in SIMPLE]:
            raise ValueError(f"{', '.join(taken)}: reserved for the credentials without a table; choose another name")
        return value

    @field_validator("header_value")
    @classmethod
    def _header_is_complete(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        text = value.get_secret_value()
        if "header_name" in info.data and bool(info.data["header_name"]) != bool(text):
            raise ValueError("header_name and header_value belong together: set both or neither")
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            raise ValueError("must be printable ASCII without leading or trailing blanks, or it cannot be sent in a header")
        return value

    @field_validator("url_token")
    @classmethod
    def _token_is_strong(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if token and not (len(token) >= 16 and token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
            raise ValueError("url_token must have at least 16 characters, and contain only letters, digits, - and _")
        return value

    @model_validator(mode="after")
    def _any_credential_is_set(self) -> Self:
        if not (self.header_name or self.url_token.get_secret_value() or self.credentials or self.allow_anyone):
            raise ValueError(
                "no credential is set: set header_name and header_value, or url_token, or a table in credentials "
                "(or allow_anyone = true, with which strangers can fill your topics)"
            )
        return self


class Oauth(_Table):
    """The token endpoint of Kaleyra's advanced authentication."""

    path: str = Field("/oauth/token", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    signing_keys: dict[Name, SecretStr] = Field(default_factory=dict)
    signs_with: str = Field("", validate_default=True)
    token_lifetime_seconds: int = Field(3600, ge=60, le=86400)
    max_requests_per_minute: PositiveInt = 60

    @field_validator("signing_keys")
    @classmethod
    def _keys_are_long(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        # RFC 7518, 3.2: at least as long as the digest.
        if short := [name for name, key in value.items() if len(key.get_secret_value().encode()) < 32]:
            raise ValueError(
                f"{', '.join(short)}: a key must have at least 32 characters; create one with `openssl rand -hex 32`"
            )
        return value

    @field_validator("signs_with")
    @classmethod
    def _signing_key_exists(cls, value: str, info: ValidationInfo) -> str:
        keys = info.data.get("signing_keys", {})
        if "signing_keys" in info.data and (value not in keys if value else len(keys) > 1):
            raise ValueError("set it to the id in oauth.signing_keys that signs new tokens")
        return value

    def signing_key_id(self) -> str:
        """Return the id of the key that signs new tokens; empty if there are no keys."""
        return self.signs_with or next(iter(self.signing_keys), "")


class Tls(_Table):
    """TLS of the data listener. Paths of PEM files; empty: no TLS."""

    certificate_path: str = ""
    key_path: str = Field("", validate_default=True)
    key_password: SecretStr = SecretStr("")
    client_ca_path: str = ""

    @field_validator("key_path")
    @classmethod
    def _certificate_has_its_key(cls, value: str, info: ValidationInfo) -> str:
        if "certificate_path" in info.data and bool(value) != bool(info.data["certificate_path"]):
            raise ValueError("certificate_path and key_path belong together: set both or neither")
        return value

    @field_validator("client_ca_path")
    @classmethod
    def _clients_need_tls(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("certificate_path", value):
            raise ValueError("client certificates need TLS: set tls.certificate_path and tls.key_path too")
        return value


class Callbacks(_Table):
    """The form of this customer's callbacks."""

    renamed_keys: dict[str, ProfileKey] = Field(default_factory=dict)


class Management(_Table):
    """The management listener."""

    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)


_CLIENT: Final = {
    "bootstrap.servers": "127.0.0.1:9092",
    "socket.keepalive.enable": True,
    "connections.max.idle.ms": 180_000,
}
_PRODUCER: Final = {
    "linger.ms": 1,
    "queue.buffering.max.messages": 20000,
    "queue.buffering.max.kbytes": 32768,
    "socket.timeout.ms": 5000,
    "statistics.interval.ms": 1000,
}


def _problem_of_tokens(properties: Mapping[str, Any], provider: str) -> str:
    """Return why a client would never have a token, or have it from two sources; empty if all is well."""
    mechanism = str(properties.get("sasl.mechanism", properties.get("sasl.mechanisms", ""))).upper()
    is_oidc = str(properties.get("sasl.oauthbearer.method", "")).lower() == "oidc"
    is_unsecured = str(properties.get("enable.sasl.oauthbearer.unsecure.jwt", "")).lower() in ("true", "t", "1")
    if provider and (mechanism != "OAUTHBEARER" or is_oidc or is_unsecured):
        return (
            f"token_provider = {provider!r} needs sasl.mechanism = OAUTHBEARER and no other source of tokens: remove the others"
        )
    if not str(properties.get("security.protocol", "")).upper().startswith("SASL_") or mechanism != "OAUTHBEARER":
        return ""
    if provider or is_oidc or is_unsecured:
        return ""
    return (
        "sasl.mechanism = OAUTHBEARER has no source of tokens: add to [kafka.client] sasl.oauthbearer.method = oidc with "
        "sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and sasl.oauthbearer.token.endpoint.url; "
        'for Amazon MSK set kafka.token_provider = "aws-msk-iam"'
    )


class Kafka(_Table):
    """The Kafka clients."""

    delivery_timeout_seconds: PositiveFloat = 10.0
    token_provider: Literal["", "aws-msk-iam"] = ""
    aws_region: str = Field("", pattern=r"^[a-z0-9-]*$")
    client: _properties(_CLIENT)  # type: ignore[valid-type]
    producer: _properties(_PRODUCER)  # type: ignore[valid-type]
    consumer: _properties({})  # type: ignore[valid-type]

    @field_validator("client")
    @classmethod
    def _brokers_are_set(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        if not str(value["bootstrap.servers"]).strip(", "):
            raise ValueError("bootstrap.servers is empty: list the brokers, as kafka1:9092,kafka2:9092")
        return value

    @field_validator("client")
    @classmethod
    def _tokens_are_asked_for(
        cls, value: dict[str, str | int | float | bool], info: ValidationInfo
    ) -> dict[str, str | int | float | bool]:
        """Add what a token provider needs; every Kafka client takes its properties from here."""
        provider, region = info.data.get("token_provider"), info.data.get("aws_region", "")
        if not provider:
            return value
        by_token = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
        return {**by_token, **value, TOKENS: f"{provider} {region}".rstrip()}

    @model_validator(mode="after")
    def _tokens_have_a_source(self) -> Self:
        alone: dict[str, Any] = {}
        for table in (alone, self.producer, self.consumer):
            if problem := _problem_of_tokens({**self.client, **table}, self.token_provider):
                raise ValueError(problem)
        return self


class Registry(_Table):
    """The schema registry."""

    # Without credentials, because the URL appears in record headers. They belong in basic.auth.user.info.
    url: str = Field("http://127.0.0.1:8081", pattern=r"^https?://[^@\s,]+(, *https?://[^@\s,]+)*$")
    cache_folder: str = ""
    verify_interval_seconds: PositiveFloat = 120.0
    client: _properties({})  # type: ignore[valid-type]


class Topics(_Table):
    """Names and settings of topics."""

    prefix: str = Field("kaleyra.whatsapp.", pattern=r"^[a-z0-9.-]*$", max_length=180)
    partitions: PositiveInt = 6
    replication_factor: PositiveInt = 3
    replay_window_days: int = Field(14, ge=1, le=3650)
    order_lines: bool = False
    raw: bool = False


class DeadLetters(_Table):
    """The alarm for too many dead letters."""

    alarm_share: float = Field(0.1, ge=0, le=1)
    alarm_at_least: PositiveInt = 10


class Spool(_Table):
    """The spool for callbacks while Kafka is down."""

    folder: str = ""
    max_bytes: int = Field(1073741824, ge=1048576)
    max_age_seconds: PositiveFloat = 86400.0
    lock_timeout_seconds: NonNegativeFloat = 60.0


Outcome = Literal["keep", "drop", "mask", "hash"]


def _joined(table: Any) -> Any:
    """Join nested tables with dots: TOML parses order.text = "drop" without quotes as a table."""
    if not isinstance(table, dict):
        return table
    joined: dict[str, Any] = {}
    for name, value in table.items():
        joined |= (
            {f"{name}.{inner}": part for inner, part in _joined(value).items()} if isinstance(value, dict) else {name: value}
        )
    return joined


class Privacy(_Table):
    """What happens to personal data on its way to Kafka."""

    CLASSES: ClassVar = ("phone", "name", "content", "location", "link")

    phone: Outcome = "keep"
    name: Outcome = "keep"
    content: Outcome = "keep"
    location: Outcome = "keep"
    link: Outcome = "keep"
    fields: Annotated[dict[str, Outcome], BeforeValidator(_joined)] = Field(default_factory=dict)
    hash_key_id: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,32}$")
    hash_key: SecretStr = Field(SecretStr(""), validate_default=True)
    seal_keys: SecretStr = SecretStr("")
    forget_changed_numbers: bool = False

    @field_validator("hash_key")
    @classmethod
    def _hash_key_is_strong_and_has_id(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if key and len(key) < 32:
            raise ValueError(
                "must have at least 32 characters, or numbers could be guessed; create one with `openssl rand -base64 32`"
            )
        if "hash_key_id" in info.data and bool(info.data["hash_key_id"]) != bool(key):
            raise ValueError("hash_key and hash_key_id belong together: set both or neither")
        return value

    @field_validator("seal_keys")
    @classmethod
    def _seal_keys_are_valid(cls, value: SecretStr) -> SecretStr:
        read_keys(value.get_secret_value())
        return value


class CatalogueFolder(_Table):
    """The folder of the schemas and messages.toml."""

    folder: str = ""


class Shutdown(_Table):
    """How a worker shuts down."""

    delay_seconds: NonNegativeFloat = 0.0
    drain_timeout_seconds: PositiveFloat = 15.0


class Logs(_Table):
    """Log level and format."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(BaseSettings):
    """All settings, created by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    http: Http = Http()
    tls: Tls = Tls()
    authentication: Authentication = Field(default_factory=Authentication)
    oauth: Oauth = Field(Oauth(), validate_default=True)
    callbacks: Callbacks = Callbacks()
    management: Management = Management()
    kafka: Kafka = Field(default_factory=lambda: Kafka.model_validate({}))
    registry: Registry = Field(default_factory=lambda: Registry.model_validate({}))
    topics: Topics = Topics()
    dead_letters: DeadLetters = DeadLetters()
    spool: Spool = Spool()
    privacy: Privacy = Privacy()
    catalogue: CatalogueFolder = CatalogueFolder()
    shutdown: Shutdown = Shutdown()
    logs: Logs = Logs()

    @field_validator("oauth")
    @classmethod
    def _oauth_has_keys(cls, value: Oauth, info: ValidationInfo) -> Oauth:
        authentication, http = info.data.get("authentication"), info.data.get("http")
        if (
            authentication
            and not value.signing_keys
            and any(one.kind == "oauth" for one in authentication.credentials.values())
        ):
            raise ValueError("credentials of the kind oauth need a key that signs their tokens: set oauth.signing_keys")
        if http and f"{value.path}/".startswith(f"{http.path}/"):
            raise ValueError("path must not be below http.path, where URL tokens are")
        if http and value.path == http.health_path:
            raise ValueError("path must not be http.health_path; choose another for one of them")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file; the library's other sources are not used."""
        assert isinstance(init_settings, GivenSource)
        given = dict(init_settings.init_kwargs)
        environment = given.pop("environment", {})
        return (_Environment(settings_cls, environment), GivenSource(settings_cls, given))


class _Environment(EnvSettingsSource):
    """The environment, with the content of files in place of `..._FILE`."""

    def __init__(self, settings_cls: type[BaseSettings], environment: Mapping[str, str]) -> None:
        self._environment = environment
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environment.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return the parsed JSON of a table, else the text: validation then refuses it along with all other problems."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
