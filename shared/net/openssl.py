"""TLS where the other side's certificate is ours to judge: a context that asks for it and refuses none, and its sockets.

`ssl` ends the handshake when a certificate does not verify, and as a server it demands a purpose (`clientAuth`) that the certificates of
servers no longer have. pyOpenSSL lets the handshake pass; `Authorities.verify` judges the chain after it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from rookery.shared.net.identity import Identity

_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_RELEASE_BUFFERS: Final = 0x10
_EOF: Final = "Unexpected EOF"
#: Given the name that the other side asks for: the context to go on with, None for the one at hand.
Choose = Callable[[str], "Context | None"]


class Context:
    """What `Channel.accept_tls` and `Channel.offer_tls` take. Raises OSError or ValueError for files that cannot be used."""

    def __init__(self, alpn: Sequence[str] = (), identity: Identity | None = None) -> None:
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(_CIPHERS)
        context.set_options(
            SSL.OP_NO_COMPRESSION
            | SSL.OP_NO_RENEGOTIATION
            | SSL.OP_NO_TICKET
            | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        context.set_mode(_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, _any)
        self._offered = [name.encode() for name in alpn]
        if self._offered:
            context.set_alpn_select_callback(self._select)
        if identity is not None:
            _load(context, identity)

    def choose(self, choose: Choose) -> None:
        """Let the name that a client asks for pick the context."""

        def named(connection: SSL.Connection) -> None:
            name = connection.get_servername()
            found = choose(name.decode("ascii", "replace")) if name else None
            if found is not None and found is not self:
                connection.set_context(found._context)

        self._context.set_tlsext_servername_callback(named)

    def _select(
        self, _connection: SSL.Connection, offered: list[bytes]
    ) -> bytes | SSL._NoOverlappingProtocols:
        for name in self._offered:
            if name in offered:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = False,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
    ) -> Socket:
        """A socket with this context; it takes the descriptor over."""
        assert not do_handshake_on_connect
        assert suppress_ragged_eofs
        connection = SSL.Connection(self._context, sock)
        if server_side:
            connection.set_accept_state()
        else:
            if self._offered:
                connection.set_alpn_protos(self._offered)
            if server_hostname:
                connection.set_tlsext_host_name(server_hostname.encode("ascii"))
            connection.set_connect_state()
        return Socket(connection, sock, server_hostname)


class Socket(socket.socket):
    """A socket with TLS that speaks as `ssl.SSLSocket` does, as far as channels need it."""

    def __init__(self, connection: SSL.Connection, sock: socket.socket, name: str | None) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self.setblocking(False)
        self._connection = connection
        self.server_hostname = name

    def do_handshake(self) -> None:
        """One step."""
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            _translate(error)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Decrypted bytes; b"" at the end."""
        try:
            return self._connection.recv(size)
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError as error:
            if error.args and error.args[-1] == _EOF:
                return b""
            _translate(error)
        except SSL.Error as error:
            if "unexpected eof" in str(error):
                return b""
            _translate(error)

    def send(self, data: object, flags: int = 0) -> int:
        """Encrypt and send; a call that would block is to be repeated with the same bytes."""
        try:
            return self._connection.send(data)  # type: ignore[arg-type]
        except SSL.Error as error:
            _translate(error)

    def pending(self) -> int:
        """Decrypted bytes that wait."""
        return self._connection.pending()

    def unwrap(self) -> None:
        """Say goodbye, without waiting for an answer."""
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            _translate(error)

    def selected_alpn_protocol(self) -> str | None:
        """What both sides chose."""
        return self._connection.get_alpn_proto_negotiated().decode("ascii", "replace") or None

    def getpeercert(self, binary_form: Literal[True], /) -> bytes | None:
        """The other side's certificate (DER), None when it showed none."""
        found = self._connection.get_peer_certificate()
        return None if found is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, found)

    def presented(self) -> list[crypto.X509]:
        """The other side's certificate and what it sent with it; empty when it showed none."""
        leaf = self._connection.get_peer_certificate()
        return [] if leaf is None else [leaf, *(self._connection.get_peer_cert_chain() or ())]

    def version(self) -> str | None:
        """As TLSv1.3."""
        return self._connection.get_protocol_version_name()

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, protocol, bits."""
        name = self._connection.get_cipher_name()
        if name is None:
            return None
        return name, self._connection.get_cipher_version() or "", self._connection.get_cipher_bits() or 0


class Authorities:
    """Who may vouch for others: the authorities of the operating system, and those of a file. Raises OSError or ValueError for it."""

    def __init__(self, file: str = "", *, system: bool = True) -> None:
        self._store = crypto.X509Store()
        paths = ssl.get_default_verify_paths()
        if system and (paths.cafile or paths.capath):
            try:
                self._store.load_locations(paths.cafile, paths.capath)
            except crypto.Error:
                pass  # A machine without authorities still has those of the file.
        if file:
            for certificate in x509.load_pem_x509_certificates(Path(file).read_bytes()):
                self._store.add_cert(crypto.X509.from_cryptography(certificate))

    def verify(self, presented: Sequence[crypto.X509]) -> str:
        """Why a chain does not hold ("": it holds). The purpose is not looked at: servers show the same certificate in both directions."""
        if not presented:
            return "no certificate"
        try:
            crypto.X509StoreContext(self._store, presented[0], list(presented[1:])).verify_certificate()
        except crypto.X509StoreContextError as error:
            return str(error)
        return ""


def leads_to(authority: x509.Certificate, presented: Sequence[crypto.X509]) -> str:
    """Why a chain does not lead to this one authority ("": it does), which need not vouch for itself."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(authority))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    try:
        crypto.X509StoreContext(store, presented[0], list(presented[1:])).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error)
    return ""


def _any(*_args: object) -> bool:
    return True


def _load(context: SSL.Context, identity: Identity) -> None:
    try:
        leaf, *chain = x509.load_pem_x509_certificates(identity.chain.read_bytes())
        key = load_pem_private_key(identity.key.read_bytes(), None)
        context.use_certificate(leaf)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)  # type: ignore[arg-type]  # of a certificate, so of a kind that signs
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        raise ValueError(f"certificate cannot be used: {identity.chain}") from error


def _translate(error: SSL.Error) -> NoReturn:
    """pyOpenSSL's exceptions as those of `ssl`."""
    if isinstance(error, SSL.WantReadError):
        raise ssl.SSLWantReadError from None
    if isinstance(error, SSL.WantWriteError):
        raise ssl.SSLWantWriteError from None
    if isinstance(error, SSL.SysCallError):
        raise ConnectionError(*error.args) from None
    raise ssl.SSLError(str(error)[:200]) from None
