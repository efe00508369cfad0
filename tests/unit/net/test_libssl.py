"""What `ssl` has no call for, on the OpenSSL that this Python uses."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponderEncoding, OCSPResponseBuilder
from OpenSSL import SSL

from rookery.shared.net import libssl, libssl_trial
from rookery.shared.net.certificates import Asking, CertificateStore
from rookery.shared.net.tickets import Tickets
from rookery.shared.tls_settings import Tls

DOMAIN = "example.org"
USES = {"starttls": (), "web": ("http/1.1",)}


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def write(
    ca: trustme.CA, folder: Path, suffix: str = "", kind: trustme.KeyType = trustme.KeyType.ECDSA
) -> None:
    folder.mkdir(exist_ok=True)
    issued = ca.issue_cert(DOMAIN, key_type=kind)
    (folder / f"fullchain{suffix}.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(folder / f"privkey{suffix}.pem"))


def tickets(folder: Path, secret: str = "a" * 32) -> Tickets:
    file = folder / f"tickets-{secret[0]}"
    file.write_text(secret)
    return Tickets(str(file), 12)


def store(folder: Path, keys: Tickets | None, asking: Asking = Asking()) -> CertificateStore:  # noqa: B008  a value
    made = CertificateStore(Tls(directory=str(folder)), USES, asking, keys)
    assert made.reload() == 1
    return made


def talk(
    made: CertificateStore,
    client: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    use: str = "starttls",
) -> ssl.SSLObject:
    """A handshake in memory; the client's side of it."""
    context = made.context(DOMAIN, use)
    assert context is not None
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=DOMAIN, session=session)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    try:
        theirs.read(1)
    except ssl.SSLWantReadError:
        pass
    return theirs


def ocsp_of(chain: Path, days: int = 7, status: OCSPCertStatus = OCSPCertStatus.GOOD) -> bytes:
    """An answer about a certificate, signed by itself: nobody checks that here."""
    key = load_pem_private_key((chain.parent / "privkey.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    leaf = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    now = datetime.now(UTC)
    builder = OCSPResponseBuilder().add_response(
        leaf,
        leaf,
        hashes.SHA256(),
        status,
        now - timedelta(days=2),
        now + timedelta(days=days),
        now if status is OCSPCertStatus.REVOKED else None,
        None,
    )
    signed = builder.responder_id(OCSPResponderEncoding.HASH, leaf).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def stapled(made: CertificateStore, cipher: str = "") -> bytes:
    """What a client is shown that asks for an answer of OCSP; the client is another library's."""
    said: list[bytes] = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if cipher:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(cipher.encode())
    context.set_ocsp_client_callback(lambda _connection, data, _more: said.append(data) is None)
    theirs = SSL.Connection(context)
    theirs.set_connect_state()
    theirs.request_ocsp()
    server = made.context(DOMAIN, "starttls")
    assert server is not None
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        try:
            theirs.do_handshake()
        except SSL.WantReadError:
            pass
        try:
            there.write(theirs.bio_read(65536))
        except SSL.WantReadError:
            pass
        try:
            ours.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if back.pending:
            theirs.bio_write(back.read())
    assert theirs.get_cipher_name() is not None
    return b"".join(said)


@pytest.fixture
def client(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def test_the_trial_holds_on_this_python() -> None:
    libssl_trial.trial()


def test_a_session_goes_on_at_another_edge(ca: trustme.CA, client: ssl.SSLContext, tmp_path: Path) -> None:
    write(ca, tmp_path / DOMAIN)
    one, two = (store(tmp_path, tickets(tmp_path)) for _ in range(2))
    stranger = store(tmp_path, tickets(tmp_path, "b" * 32))
    session = talk(one, client).session
    assert session is not None
    assert session.ticket_lifetime_hint == 12 * 3600
    again = talk(two, client, session)
    assert again.session_reused
    assert again.getpeercert(True) is not None
    assert again.session != session  # (each ticket is used once, RFC 8446 appendix C.4)
    assert talk(two, client, session, "web").session_reused
    assert not talk(stranger, client, session).session_reused


def test_a_certificate_that_changes_ends_tickets_of_logins_that_are_bound_to_it(
    ca: trustme.CA, client: ssl.SSLContext, tmp_path: Path
) -> None:
    write(ca, tmp_path / DOMAIN)
    for bound in (False, True):
        keys = tickets(tmp_path)
        keys.bound = bound
        made = store(tmp_path, keys)
        session = talk(made, client).session
        write(ca, tmp_path / DOMAIN)
        assert made.reload() == 1
        assert talk(made, client, session).session_reused is not bound


def test_no_tickets_for_tls_1_2_or_without_secrets_or_where_clients_show_certificates(
    ca: trustme.CA, client: ssl.SSLContext, tmp_path: Path
) -> None:
    write(ca, tmp_path / DOMAIN)
    authorities = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(authorities))
    asks = store(tmp_path, tickets(tmp_path), Asking(authorities, frozenset({"starttls"})))
    for made in (store(tmp_path, None), asks):
        session = talk(made, client).session
        assert session is None or not session.has_ticket
    given = talk(asks, client, use="web").session
    assert given is not None
    assert given.has_ticket
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    session = talk(store(tmp_path, tickets(tmp_path)), client).session
    assert session is None or not session.has_ticket


def test_two_kinds_of_certificate_stand_side_by_side(
    ca: trustme.CA, client: ssl.SSLContext, tmp_path: Path
) -> None:
    write(ca, tmp_path / DOMAIN)
    write(ca, tmp_path / DOMAIN, "-2", trustme.KeyType.RSA)
    answer = ocsp_of(tmp_path / DOMAIN / "fullchain.pem")
    (tmp_path / DOMAIN / "ocsp.der").write_bytes(answer)
    made = store(tmp_path, None)
    assert made.default is not None
    assert made.default.binding is None  # nothing says which one a client was shown
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for auth in ("ECDSA", "RSA"):
        client.set_ciphers(f"ECDHE-{auth}-AES128-GCM-SHA256")
        cipher = talk(made, client).cipher()
        assert cipher is not None
        assert cipher[0] == f"ECDHE-{auth}-AES128-GCM-SHA256"
        assert stapled(made, cipher[0]) == (answer if auth == "ECDSA" else b"")
    (tmp_path / DOMAIN / "fullchain-2.pem").unlink()
    assert made.reload() == 1
    assert made.default.binding is not None


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [
        (7, OCSPCertStatus.GOOD, True),
        (-1, OCSPCertStatus.GOOD, False),
        (7, OCSPCertStatus.REVOKED, False),
        (0, None, False),
    ],
)
def test_an_answer_of_ocsp_is_shown_while_it_is_good(
    ca: trustme.CA,
    client: ssl.SSLContext,
    tmp_path: Path,
    days: int,
    status: OCSPCertStatus | None,
    said: bool,
) -> None:
    write(ca, tmp_path / DOMAIN)
    made = store(tmp_path, None)
    assert stapled(made) == b""
    answer = b"junk" if status is None else ocsp_of(tmp_path / DOMAIN / "fullchain.pem", days, status)
    (tmp_path / DOMAIN / "ocsp.der").write_bytes(answer)
    assert made.reload() == 1
    assert stapled(made) == (answer if said else b"")
    assert talk(made, client).version() == "TLSv1.3"


def test_an_answer_about_another_certificate_is_not_shown(ca: trustme.CA, tmp_path: Path) -> None:
    write(ca, tmp_path / DOMAIN)
    (tmp_path / DOMAIN / "ocsp.der").write_bytes(ocsp_of(tmp_path / DOMAIN / "fullchain.pem"))
    write(ca, tmp_path / DOMAIN)
    assert stapled(store(tmp_path, None)) == b""


def test_a_second_certificate_of_the_same_kind_is_refused(ca: trustme.CA, tmp_path: Path) -> None:
    write(ca, tmp_path / DOMAIN)
    write(ca, tmp_path / DOMAIN, "-2")
    assert CertificateStore(Tls(directory=str(tmp_path)), USES).reload() == 0


def test_why_it_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_args: object, **_more: object) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.CompletedProcess([], -11, b"", b"")

    for replaced, says in ((ended, "a trial ended with -11"),):
        libssl.usable.cache_clear()
        monkeypatch.setattr(subprocess, "run", replaced)
        assert libssl.usable() == says
    libssl.usable.cache_clear()
    monkeypatch.delattr(libssl._ssl, "__file__")
    assert libssl.usable() == "OpenSSL is built into this Python"
    libssl.usable.cache_clear()
