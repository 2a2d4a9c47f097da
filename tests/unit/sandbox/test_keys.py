"""The sandbox's own authority and accounts: valid here only, for this user alone."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from angelia.sandbox import keys


def test_a_certificate_names_its_hosts_under_the_authority(tmp_path: Path) -> None:
    context = keys.make_tls(tmp_path, ("127.0.0.1", "sandbox"))
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sandbox"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert (server.not_valid_after_utc - server.not_valid_before_utc).days <= 31
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_keys_and_accounts_are_for_this_user_alone(tmp_path: Path) -> None:
    keys.make_tls(tmp_path, ("sandbox",))
    keys.make_apns_account(tmp_path)
    keys.make_webhook_account(tmp_path)
    keys.make_mail_account(tmp_path, "https://a.example/u")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.name != "ca.pem"}
    assert modes == dict.fromkeys(("server.pem", "apns.json", "webhook.json", "email.json"), 0o600)


def test_an_accounts_key_fits_what_verifies_it(tmp_path: Path) -> None:
    public = keys.make_apns_account(tmp_path)
    account = json.loads((tmp_path / "apns.json").read_text())
    private = load_pem_private_key(account["private_key"].encode(), None)
    assert private.public_key() == public
    secret = keys.make_webhook_account(tmp_path)
    assert json.loads((tmp_path / "webhook.json").read_text())["secret"].encode() == secret
    user, password = keys.make_mail_account(tmp_path, "https://a.example/u")
    mail = json.loads((tmp_path / "email.json").read_text())
    assert (mail["user"], mail["password"], mail["unsubscribe_url"]) == (
        user,
        password,
        "https://a.example/u",
    )
