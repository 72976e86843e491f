"""Owns the certificates of the tests: authorities and keys made on the spot, in a folder that goes with the test."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """One authority, and what it has signed; ``name`` keeps two of them apart in one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._authority = trustme.CA(organization_name=name)
        self._folder = folder / name
        self._folder.mkdir()
        self.file = self._folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, identity: str) -> tuple[Path, Path]:
        """Return the files of a certificate for a host, or for a client, and of its key."""
        issued = self._authority.issue_cert(identity)
        certificate, key = self._folder / f"{identity}.pem", self._folder / f"{identity}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def server_options(self, port: int, *, host: str = "localhost", asks_clients: bool = False) -> list[str]:
        """Return the options of a ``redis-server`` that speaks TLS on ``port`` with a certificate for ``host``."""
        certificate, key = self.issue(host)
        files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(self.file)]
        return ["--tls-port", str(port), *files, "--tls-auth-clients", "yes" if asks_clients else "no"]


def tls_url(port: int, *, host: str = "localhost", **options: object) -> str:
    """Return a URL whose query holds ``options``, such as ``ssl_ca_certs``."""
    query = urlencode({name: str(value) for name, value in options.items()})
    return f"rediss://{host}:{port}/0?{query}"
