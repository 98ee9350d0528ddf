"""Certificates for the tests: an authority of our own, and what it signs. Nothing of them outlives a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, as PEM files: each alone, and both in one, as Kafka's brokers want them."""

    certificate: Path
    key: Path
    both: Path


@dataclass(slots=True)
class Authority:
    """Sign certificates; `certificate` is what makes a client trust them."""

    folder: Path
    name: str
    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _subject: x509.Name = field(init=False)

    def __post_init__(self) -> None:
        self._key, self._subject = ec.generate_private_key(ec.SECP256R1()), _named(self.name)
        begins = datetime.now(UTC) - LIFETIME
        signed = (
            self._builder(self._subject, self._key.public_key(), begins)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def sign(
        self, name: str, hosts: Sequence[str] = (), *, has_expired: bool = False, password: bytes | None = None
    ) -> Signed:
        """Make a certificate for hosts (names, or addresses), or for a client; its key may be kept by a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        begins = datetime.now(UTC) - (3 * LIFETIME if has_expired else LIFETIME)
        builder = self._builder(_named(name), key.public_key(), begins)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([*map(_host, hosts)]), critical=False)
        signed = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        keeping = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        kept = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, keeping)
        made = Signed(*(self.folder / f"{name}{ending}" for ending in (".crt", ".key", ".both.pem")))
        for path, content in ((made.certificate, signed), (made.key, kept), (made.both, kept + signed)):
            path.write_bytes(content)
            path.chmod(0o600)
        return made

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + 2 * LIFETIME)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
