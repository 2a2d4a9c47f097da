"""The sandbox's own authority, server certificate and service accounts.

They are made fresh in its state folder, and none of them is valid anywhere else.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import secrets
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROJECT = "angelia-sandbox"
ACCOUNT = f"sender@{PROJECT}.iam.gserviceaccount.com"
APNS_TEAM, APNS_KEY_ID, APNS_TOPIC = "SANDBOX001", "SANDBOXKEY", "example.angelia.sandbox"
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8
_PLAIN = serialization.NoEncryption()


def make_tls(folder: Path, hosts: tuple[str, ...]) -> ssl.SSLContext:
    """Write `ca.pem` and return a server context for `hosts` that offers HTTP/2 and HTTP/1.1."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Angelia sandbox authority")])

    def begin(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(
            now - timedelta(hours=1)
        )
        return builder.not_valid_after(now + timedelta(days=30))

    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca = begin(ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca_certificate = (
        ca.add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    leaf = begin(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Angelia sandbox")]), key.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    leaf = leaf.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    certificate = leaf.sign(ca_key, hashes.SHA256())
    (folder / "ca.pem").write_bytes(ca_certificate.public_bytes(_PEM))
    server = folder / "server.pem"
    # The mode is set before the key is written, so that it is never readable by others.
    server.touch(mode=0o600)
    server.write_bytes(certificate.public_bytes(_PEM) + key.private_bytes(_PEM, _PKCS8, _PLAIN))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@functools.cache
def make_rsa_key() -> rsa.RSAPrivateKey:
    """Return the RSA key of every account of this process: each takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def make_service_account(folder: Path, token_uri: str) -> rsa.RSAPublicKey:
    """Write `service-account.json` and return the public key that verifies its assertions."""
    key = make_rsa_key()
    account: dict[str, object] = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "sandbox-key-1",
        "private_key": key.private_bytes(_PEM, _PKCS8, _PLAIN).decode(),
        "client_email": ACCOUNT,
        "token_uri": token_uri,
    }
    write_account(folder / "service-account.json", account)
    return key.public_key()


def make_apns_account(folder: Path) -> ec.EllipticCurvePublicKey:
    """Write `apns.json` and return the public key that verifies its tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(_PEM, _PKCS8, _PLAIN).decode()
    write_account(
        folder / "apns.json",
        {"team_id": APNS_TEAM, "key_id": APNS_KEY_ID, "topic": APNS_TOPIC, "private_key": text},
    )
    return key.public_key()


def make_webhook_account(folder: Path) -> bytes:
    """Write `webhook.json` and return the secret that signs.

    It allows this machine's own addresses, which no other secret should.
    """
    secret = secrets.token_hex(32)
    write_account(folder / "webhook.json", {"secret": secret, "allow_private": True})
    return secret.encode()


def make_mail_account(folder: Path, unsubscribe_url: str) -> tuple[str, str]:
    """Write `email.json` and return user and password."""
    user, password = "sandbox", secrets.token_hex(16)
    document: dict[str, object] = {
        "from": "Angelia <news@sandbox.example>",
        "user": user,
        "password": password,
        "unsubscribe_url": unsubscribe_url,
    }
    write_account(folder / "email.json", {**document, "unsubscribe_secret": secrets.token_hex(32)})
    return user, password


def write_account(path: Path, document: Mapping[str, object]) -> None:
    """Write an account's file, readable by this user alone."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1), "utf-8")
