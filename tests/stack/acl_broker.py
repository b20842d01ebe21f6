"""A real broker with ACLs, a bridge's topics on it, and a user of the bridge without any rights yet.

Its administrator makes the topics, grants and withdraws.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from connector.catalogue import read_catalogue
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.certificates import Authority
from tests.support.servers import Environment, eventually

PASSWORDS: Final = {"admin": "invented-password-of-admin", "bridge": "invented-password-of-bridge"}
WRONG_PASSWORD: Final = "invented-wrong-password"

_USERS: Final = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
_JAAS: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
GUARDED: Final[dict[str, str | int]] = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    # Name and password are those by which the broker talks to itself.
    "listener.name.client.plain.sasl.jaas.config": f'{_JAAS} username="admin" password="{PASSWORDS["admin"]}" {_USERS};',
    # ANONYMOUS is the broker on the controller's listener: no client gets there.
    "super.users": "User:admin;User:ANONYMOUS",
}


def credentials(user: str, password: str | None = None) -> dict[str, str]:
    """Return a client's properties by which the broker knows a user."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password or PASSWORDS[user],
    }


def over_tls(authority: Authority) -> dict[str, str | int]:
    """Return the properties of a broker with ACLs that speaks TLS alone, and keeps passwords as SCRAM does.

    It takes the other mechanisms too; as OAUTHBEARER it believes unsigned tokens, which is for tests alone.
    """
    own = authority.sign("broker")
    whole = own.certificate.with_name("broker-whole.pem")
    whole.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
    security = "org.apache.kafka.common.security"
    login = f"{security}.scram.ScramLoginModule required"
    by_token = f'{security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";'
    return {
        "authorizer.class.name": GUARDED["authorizer.class.name"],
        "super.users": GUARDED["super.users"],
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (f'{login} username="admin" password="{PASSWORDS["admin"]}";'),
        "listener.name.client.plain.sasl.jaas.config": GUARDED["listener.name.client.plain.sasl.jaas.config"],
        "listener.name.client.oauthbearer.sasl.jaas.config": by_token,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(whole),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.path),
    }


def credentials_over_tls(user: str, authority: Path, password: str | None = None) -> dict[str, str]:
    """Return a client's properties by which such a broker knows a user; `authority` is that of its certificate."""
    return {
        **credentials(user, password),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "ssl.ca.location": str(authority),
    }


class Guarded:
    """A broker with ACLs and a bridge's topics on it; the bridge's user has no rights yet. `admin` has all."""

    def __init__(self, broker: KafkaBroker, registry_url: str, admin: Mapping[str, str] | None = None, **more: str) -> None:
        self._address = (broker.bootstrap_servers, registry_url)
        self._prefix = servers.new_prefix()
        admin = admin or credentials("admin")
        self._admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, **admin})
        servers.prepare(self.settings(admin, **more))

    def settings(self, client: Mapping[str, str], **more: str) -> Environment:
        """Return the settings of a bridge, or of a command, with these credentials."""
        for name, value in client.items():
            more[f"KAFKA__CLIENT__{name.upper().replace('.', '_')}"] = value
        return servers.environment(*self._address, prefix=self._prefix, delivery_timeout_seconds=3, **more)

    def topic(self, name: str) -> str:
        """Return a topic by its name without the prefix."""
        return f"{self._prefix}{name}"

    def topics(self) -> set[str]:
        """Return the names of all topics of the bridge."""
        return {record_type.topic for record_type in read_catalogue(None, self._prefix)}

    def allow(self, operation: AclOperation, topics: Iterable[str]) -> None:
        """Allow the bridge's user an operation. The broker knows it a moment later."""
        self._rule(operation, AclPermissionType.ALLOW, topics)

    def deny(self, operation: AclOperation, topics: Iterable[str]) -> None:
        """Deny the bridge's user an operation, whatever else is allowed."""
        self._rule(operation, AclPermissionType.DENY, topics)

    def forget(self, topics: Iterable[str]) -> None:
        """Delete all ACLs."""
        everything = AclOperation.ANY, AclPermissionType.ANY
        rules = [AclBindingFilter(*_subject(topic), *everything) for topic in topics]
        for done in self._admin.delete_acls(rules, request_timeout=10).values():
            done.result(timeout=10)

    def alter(self, topic: str, config: Mapping[str, str]) -> None:
        """Set settings of a topic, as its administrator."""
        set_ = AlterConfigOpType.SET
        entries = [ConfigEntry(name, value, incremental_operation=set_) for name, value in config.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result(timeout=10)

    def produce(self, topic: str, client: Mapping[str, str]) -> None:
        """Produce a record that is none of ours, with these credentials, once they are allowed to."""

        def is_written() -> bool:
            errors: list[object] = []
            producer = Producer({"bootstrap.servers": self._address[0], "log_level": 0, **client})
            producer.produce(topic, b"not Avro", on_delivery=lambda error, _: errors.append(error))
            producer.flush(10)
            return errors == [None]

        eventually(is_written)

    def _rule(self, operation: AclOperation, permission: AclPermissionType, topics: Iterable[str]) -> None:
        rules = [AclBinding(*_subject(topic), operation, permission) for topic in topics]
        for done in self._admin.create_acls(rules, request_timeout=10).values():
            done.result(timeout=10)


def _subject(topic: str) -> tuple[ResourceType, str, ResourcePatternType, str, str]:
    return ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:bridge", "*"
