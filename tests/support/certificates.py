"""Certificates for tests: an authority, and what it signs, as PEM files that are valid for a day, or longer."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


class Files(NamedTuple):
    """Paths of a certificate and its key, and the certificate's serial number."""

    certificate: Path
    key: Path
    serial: int


class Authority:
    """A new authority, with its certificate at `path`."""

    def __init__(self, folder: Path, name: str = "authority", valid_days: int = 1) -> None:
        self._folder = folder
        self._valid = dt.timedelta(days=valid_days)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        made = _builder(self._name, self._name, self._key.public_key(), self._valid)
        extension = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = made.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(_pem(self.certificate))

    def sign(self, name: str, password: str = "") -> Files:
        """Return the files of a new certificate for 127.0.0.1 and localhost; the same name is written over."""
        key = ec.generate_private_key(ec.SECP256R1())
        places = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = _builder(_name(name), self._name, key.public_key(), self._valid)
        certificate = made.add_extension(x509.SubjectAlternativeName(places), critical=False).sign(self._key, hashes.SHA256())
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key", certificate.serial_number)
        files.certificate.write_bytes(_pem(certificate))
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return files


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _DAY,
        not_valid_after=now + valid,
    )
