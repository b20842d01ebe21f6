"""kafkajs and its registry client: fetched by npm as package-lock.json says, then run as a separate process.

In go topics and how many records they hold; out come those records as `read.js` found them.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support import npm
from tests.support.servers import Addresses

_HERE: Final = Path(__file__).parent
_TIED: Final = _HERE.parents[1] / "stack" / "die_with_parent.py"
_READ_TIMEOUT_SECONDS: Final = 60


class NodeRecord(NamedTuple):
    """A record as kafkajs has it. In `value` bytes are `{"$bytes": hex}`, and logical types what they are made of."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    timestamp_ms: int
    schema_id: int
    headers: list[tuple[str, bytes]]
    value: Any


def node_modules() -> Path:
    """Return the folder of the packages, fetched first if need be (12 MB).

    Raises:
        StackUnavailable: Node.js or npm is missing, or the packages could not be had.
    """
    return npm.modules(_HERE, "kafkajs")


def read(
    modules: Path, addresses: Addresses, topics: Iterable[str], count: int, reader_schemas: Mapping[str, str] | None = None
) -> list[NodeRecord]:
    """Return the `count` records that the topics hold, each read by its own schema, or by that of its topic."""
    asked = {
        "bootstrapServers": addresses.bootstrap_servers,
        "registryUrl": addresses.registry_url,
        "topics": list(topics),
        "count": count,
        "readerSchemas": reader_schemas or {},
    }
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), node, str(_HERE / "read.js")],
        input=json.dumps(asked),
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=_READ_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [_record(json.loads(line)) for line in done.stdout.splitlines()]


def _record(fields: Any) -> NodeRecord:
    return NodeRecord(
        fields["topic"],
        fields["partition"],
        fields["offset"],
        None if fields["key"] is None else bytes.fromhex(fields["key"]),
        fields["timestamp"],
        fields["schemaId"],
        [(name, bytes.fromhex(content)) for name, content in fields["headers"]],
        fields["value"],
    )
