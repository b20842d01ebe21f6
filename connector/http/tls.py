"""TLS of the data listener: paths of PEM files in, a server's SSL context out, or an error that names the wrong file.

TLS 1.2 or newer. With a CA file for clients, every client must present a certificate signed by it. Each worker reads the files
when it starts.
"""

import ssl
from pathlib import Path

from connector.errors import ConfigurationInvalid
from connector.http.refusals import NOTHING_KNOWN, Refuse
from connector.settings.tables import Tls


def context(settings: Tls) -> ssl.SSLContext | None:
    """Return the SSL context of the settings; None without a certificate.

    Raises:
        ConfigurationInvalid: if a file cannot be read, or certificate and key do not belong together.
    """
    if not settings.certificate_path:
        return None
    paths = {name: getattr(settings, name) for name in ("certificate_path", "key_path", "client_ca_path")}
    problems = [problem for name, path in paths.items() if path and (problem := _problem_reading(name, path))]
    if problems:
        raise ConfigurationInvalid(problems)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_2
    server.options |= ssl.OP_NO_RENEGOTIATION
    server.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        password = settings.key_password.get_secret_value()
        server.load_cert_chain(settings.certificate_path, settings.key_path, password=lambda: password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationInvalid([_problem_with_pair(settings, error)]) from None
    if settings.client_ca_path:
        try:
            server.load_verify_locations(settings.client_ca_path)
        except ssl.SSLError:
            problem = f"tls.client_ca_path: {settings.client_ca_path} contains no CA certificate in PEM format"
            raise ConfigurationInvalid([problem]) from None
        server.verify_mode = ssl.CERT_REQUIRED
    return server


def count_failed_handshakes(server: ssl.SSLContext, refuse: Refuse) -> None:
    """Have every handshake that fails counted: the event loop reports none of them to a protocol.

    The address of the peer is not known here. A peer that hangs up or stays silent is not counted, as before any request.
    """

    class Handshake(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                refuse("tls_handshake", NOTHING_KNOWN, error=error.reason or type(error).__name__)
                raise

    server.sslobject_class = Handshake


def _problem_reading(name: str, path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except OSError as error:
        return f"tls.{name}: {path} cannot be read ({error.strerror}); name a file that the bridge's user may read"


def _problem_with_pair(settings: Tls, error: Exception) -> str:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return f"tls.key_path: the key in {settings.key_path} is not that of the certificate in {settings.certificate_path}"
    if "ENCRYPTED" in Path(settings.key_path).read_text(encoding="latin-1"):
        return f"tls.key_password: does not open the key in {settings.key_path}"
    return (
        f"tls.certificate_path: {settings.certificate_path} and {settings.key_path} contain no usable certificate and key "
        f"in PEM format ({reason or type(error).__name__})"
    )
