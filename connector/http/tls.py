"""TLS of the data listener: paths of PEM files in, a server's context out, or in words which file is wrong.

TLS 1.2 or newer. With authorities for clients every caller must show a certificate of theirs. Read anew by each worker.
"""

import ssl
from pathlib import Path

from connector.errors import ConfigurationInvalid
from connector.settings.tables import Tls


def context(settings: Tls) -> ssl.SSLContext | None:
    """Return the context of the settings; None without a certificate.

    Raises:
        ConfigurationInvalid: when a file cannot be read, or certificate and key do not belong together.
    """
    if not settings.certificate_path:
        return None
    named = {name: getattr(settings, name) for name in ("certificate_path", "key_path", "client_ca_path")}
    problems = [problem for name, path in named.items() if path and (problem := _unreadable(name, path))]
    if problems:
        raise ConfigurationInvalid(problems)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        password = settings.key_password.get_secret_value()
        made.load_cert_chain(settings.certificate_path, settings.key_path, password=lambda: password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationInvalid([_mismatch(settings, error)]) from None
    if settings.client_ca_path:
        try:
            made.load_verify_locations(settings.client_ca_path)
        except ssl.SSLError:
            told = f"tls.client_ca_path: {settings.client_ca_path} holds no certificate of an authority as PEM"
            raise ConfigurationInvalid([told]) from None
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def _unreadable(name: str, path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except OSError as error:
        return f"tls.{name}: {path} cannot be read ({error.strerror}); name a file that the bridge's user may read"


def _mismatch(settings: Tls, error: Exception) -> str:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return f"tls.key_path: the key in {settings.key_path} is not that of the certificate in {settings.certificate_path}"
    if "ENCRYPTED" in Path(settings.key_path).read_text(encoding="latin-1"):
        return f"tls.key_password: does not open the key in {settings.key_path}"
    return (
        f"tls.certificate_path: {settings.certificate_path} and {settings.key_path} hold no certificate and key as PEM "
        f"that can be used ({reason or type(error).__name__})"
    )
