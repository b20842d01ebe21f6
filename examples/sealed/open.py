"""Opens sealed dead letters and raw callbacks: what `connector tail --json` prints on stdin, what is in them on stdout.

It knows nothing of the connector, so it shows all that another program needs: cryptography, the keys, and twenty lines.
"""

import json
import sys
from base64 import b64decode, urlsafe_b64decode
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


def keys_of(file: Path) -> dict[str, AESGCM]:
    """Read a file of keys, `<key id>:<base64 of 32 bytes>` a line, as the setting privacy.seal_keys has them."""
    lines = (line.partition(":") for line in file.read_text(encoding="utf-8").split())
    return {key_id: AESGCM(b64decode(key)) for key_id, _, key in lines}


def opened(sealed: str, kind: bytes, keys: dict[str, AESGCM]) -> str:
    """Open `s1:<key id>:<base64url of nonce and ciphertext>`; `kind` is what is authenticated beside it: bytes or text."""
    version, _, rest = sealed.partition(":")
    if version != "s1":
        return sealed
    key_id, _, content = rest.partition(":")
    content_bytes = urlsafe_b64decode(content)
    return keys[key_id].decrypt(content_bytes[:NONCE_BYTES], content_bytes[NONCE_BYTES:], kind).decode("utf-8", "replace")


def main() -> None:
    """Open line by line."""
    keys = keys_of(Path(sys.argv[1]))
    for line in sys.stdin:
        value = json.loads(line)["value"]
        value["body"] = opened(value["body"] or "", b"bytes", keys)
        value["query"] = opened(value["query"] or "", b"text", keys)
        print(json.dumps(value, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
