"""What servers under comparison need of this machine: an account, folders, a certificate, installed packages."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rookery.bench.peers.peer import PeerError
from rookery.bench.remotes.authority import Authority
from rookery.embedded.binaries import RunAs, run_as


def account() -> RunAs | None:
    """Whom servers run as: ourselves (None), or for root the unprivileged account that Postgres runs as, too."""
    return run_as()


def give(path: Path, user: RunAs | None) -> None:
    """Let that account own a file, or a folder with all that is in it."""
    if user is None:
        return
    for found in (path, *path.rglob("*")):
        os.chown(found, *user.ids, follow_symlinks=False)


def need(program: str, package: str) -> str:
    """The path of an installed program. Raises PeerError with the package's name."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") or shutil.which(program)
    if found is None:
        raise PeerError(f"{program} is not installed: apt install {package}")
    return found


def make_certificate(folder: Path, domain: str) -> tuple[Path, Path]:
    """Write `<folder>/<domain>/fullchain.pem` and `privkey.pem`: self-signed, P-256, for a day; readable by all accounts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    home = folder / domain
    home.mkdir(parents=True)
    chain, private = home / "fullchain.pem", home / "privkey.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return open_to_all(folder, chain, private)


def open_to_all(folder: Path, chain: Path, private: Path) -> tuple[Path, Path]:
    """Let every account read a certificate and its key: they are those of one day and one comparison."""
    for path in (folder, chain.parent):
        path.chmod(0o755)
    for path in (chain, private):
        path.chmod(0o644)
    return chain, private


def make_authority(folder: Path, domain: str) -> tuple[Path, Path, Path]:
    """An authority for the remote domains, which vouches for the server, too: its file, and chain and key of `domain`."""
    home, ca = folder / domain, folder / "authority.pem"
    home.mkdir(parents=True)
    authority = Authority.make()
    authority.write(ca)
    ca.chmod(0o644)
    issued = authority.issue(home, domain)
    chain, private = issued.chain.rename(home / "fullchain.pem"), issued.key.rename(home / "privkey.pem")
    return ca, *open_to_all(folder, chain, private)
