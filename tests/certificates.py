"""Certificates for tests."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(path: Path, host: str) -> Path:
    """A certificate for the host and its key, together in one file."""
    made, key = _signed(host, None)
    path.write_bytes(made + key)
    return path


def of_authority(folder: Path, name: str, authority: Path | None) -> Path:
    """A certificate, signed by the authority's or, without one, an authority itself. Its key lies
    beside it, with the suffix `.key`.
    """
    path = folder / f"{name}.pem"
    made, key = _signed(name, authority)
    path.write_bytes(made)
    path.with_suffix(".key").write_bytes(key)
    return path


def _signed(name: str, authority: Path | None) -> tuple[bytes, bytes]:
    """Certificate and key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issuer = key, subject
    if authority is not None:
        loaded = serialization.load_pem_private_key(
            authority.with_suffix(".key").read_bytes(), None
        )
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer, issuer = loaded, x509.load_pem_x509_certificate(authority.read_bytes()).subject
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(authority is None, None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    encoded = serialization.Encoding.PEM
    private = key.private_bytes(
        encoded, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(encoded), private
