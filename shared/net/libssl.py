"""What OpenSSL can do and Python's `ssl` has no call for: keys of session tickets, and answers of OCSP that a server shows.

Both are callbacks that are set on the `SSL_CTX` of a context, in the very library that `_ssl` uses. Where that stands in memory is no promise
of Python, so `usable` tries all of it in a process of its own first: a wrong guess costs that process its life, not this one.
"""

from __future__ import annotations

import _ssl
import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from ssl import SSLContext
from typing import Any, Final, Protocol

TLS_1_3: Final = 0x304
#: What a callback for tickets answers: no key (the handshake goes on without), a key, a key and that another ticket follows, or an error.
NO_KEY: Final = 0
KEY: Final = 1
KEY_AND_NEW_TICKET: Final = 2
ERROR: Final = -1
NAME_BYTES: Final = 16
IV_BYTES: Final = 16
_STATUS_CALLBACK: Final = 63  # SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB
_STATUS_ANSWER: Final = 71  # SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP
_ANSWERED: Final = 0  # SSL_TLSEXT_ERR_OK
_SILENT: Final = 3  # SSL_TLSEXT_ERR_NOACK
_UTF8: Final = 4  # OSSL_PARAM_UTF8_STRING
_TRIAL_SECONDS: Final = 30.0
_POINTER: Final = ctypes.c_void_p
_TicketCall: Final = ctypes.CFUNCTYPE(
    ctypes.c_int, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int
)
_StatusCall: Final = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER)


class Unusable(Exception):  # noqa: N818  says what it is
    """This Python does not let its OpenSSL be reached; the text says why."""


class TicketKeys(Protocol):
    """Whose keys encrypt tickets. Handshake threads ask, each while it holds the interpreter."""

    def newest(self) -> tuple[bytes, bytes, bytes]:
        """The key for new tickets: its name (16 bytes), the key of AES-256, the key of HMAC-SHA-256."""

    def named(self, name: bytes) -> tuple[bytes, bytes] | None:
        """The keys that a name stands for; None for a name that is not known or no longer good."""

    def fresh(self) -> bytes:
        """An initialisation vector (16 bytes)."""


class _Param(ctypes.Structure):
    """OSSL_PARAM (OpenSSL 3)."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", ctypes.c_char_p),
        ("data_size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


_SHA256: Final = (_Param * 2)(_Param(b"digest", _UTF8, b"SHA256", 6, 0), _Param(None, 0, None, 0, 0))
#: Callbacks live as long as the process: a context that was replaced may still have connections.
_kept: Final[list[object]] = []


class Library:
    """The functions that are used. Raises Unusable when one of them is missing."""

    def __init__(self) -> None:
        if sys.implementation.name != "cpython":
            raise Unusable(f"{sys.implementation.name} keeps its TLS contexts elsewhere")
        path = getattr(_ssl, "__file__", None)
        if path is None:
            raise Unusable("OpenSSL is built into this Python")
        try:
            # What is looked up in a module is looked up in the libraries that it was linked with, too.
            self._lib = lib = ctypes.CDLL(path)
            self._set_tickets = _typed(
                lib.SSL_CTX_set_tlsext_ticket_key_evp_cb, ctypes.c_int, _POINTER, _TicketCall
            )
            self._set_status = _typed(
                lib.SSL_CTX_callback_ctrl, ctypes.c_long, _POINTER, ctypes.c_int, _StatusCall
            )
            self._set_timeout = _typed(lib.SSL_CTX_set_timeout, ctypes.c_long, _POINTER, ctypes.c_long)
            self._version = _typed(lib.SSL_version, ctypes.c_int, _POINTER)
            self._control = _typed(
                lib.SSL_ctrl, ctypes.c_long, _POINTER, ctypes.c_int, ctypes.c_long, _POINTER
            )
            cipher = (_POINTER, _POINTER, _POINTER, ctypes.c_char_p, ctypes.c_char_p)
            self._encrypt = _typed(lib.EVP_EncryptInit_ex, ctypes.c_int, *cipher)
            self._decrypt = _typed(lib.EVP_DecryptInit_ex, ctypes.c_int, *cipher)
            self._mac = _typed(
                lib.EVP_MAC_init, ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t, _POINTER
            )
            self._certificate = _typed(lib.SSL_get_certificate, _POINTER, _POINTER)
            self._der = _typed(lib.i2d_X509, ctypes.c_int, _POINTER, ctypes.POINTER(_POINTER))
            self._malloc = _typed(lib.CRYPTO_malloc, _POINTER, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int)
            self._aes: int = _typed(lib.EVP_aes_256_cbc, _POINTER)()
        except (OSError, AttributeError) as error:
            raise Unusable(str(error)) from None

    def use_tickets(self, context: SSLContext, keys: TicketKeys, seconds: int) -> None:
        """Let a server's context make and take tickets with `keys`, each good for `seconds`: for TLS 1.3 alone.

        A ticket of TLS 1.2 would let who has the key read what was said; those of TLS 1.3 come with a Diffie-Hellman exchange.
        """
        call = _TicketCall(_guarded(self._ticket, keys))
        _kept.append(call)
        pointer = _pointer(context)
        if self._set_tickets(pointer, call) != 1:
            raise Unusable("OpenSSL takes no keys for tickets")
        self._set_timeout(pointer, seconds)

    def _ticket(
        self, keys: TicketKeys, ssl: int, name: int, iv: int, cipher: int, mac: int, making: int
    ) -> int:
        if making:
            if self._version(ssl) < TLS_1_3:
                return NO_KEY
            label, aes, hmac = keys.newest()
            vector = keys.fresh()
            ctypes.memmove(name, label, NAME_BYTES)
            ctypes.memmove(iv, vector, IV_BYTES)
            done = self._encrypt(cipher, self._aes, None, aes, vector)
            return KEY if done == 1 and self._mac(mac, hmac, len(hmac), _SHA256) == 1 else ERROR
        found = keys.named(ctypes.string_at(name, NAME_BYTES))
        if found is None:
            return NO_KEY
        aes, hmac = found
        done = self._decrypt(cipher, self._aes, None, aes, ctypes.string_at(iv, IV_BYTES))
        if done != 1 or self._mac(mac, hmac, len(hmac), _SHA256) != 1:
            return ERROR
        # Whoever sees a ticket twice knows that it is the same client (RFC 8446 appendix C.4).
        return KEY_AND_NEW_TICKET

    def staple(self, context: SSLContext, answer: Callable[[bytes], bytes | None]) -> None:
        """Let a server's context show answers of OCSP to clients that ask (RFC 6066 section 8).

        `answer` is given the certificate (DER) that the client is shown; None shows nothing.
        """
        call = _StatusCall(_guarded(self._status, answer, otherwise=_SILENT))
        _kept.append(call)
        if self._set_status(_pointer(context), _STATUS_CALLBACK, call) != 1:
            raise Unusable("OpenSSL takes no answers of OCSP")

    def _status(self, answer: Callable[[bytes], bytes | None], ssl: int, _argument: int) -> int:
        der = answer(self._shown(ssl))
        if der is None:
            return _SILENT
        # OpenSSL frees it with the connection.
        memory = self._malloc(len(der), b"", 0)
        if not memory:
            return _SILENT
        ctypes.memmove(memory, der, len(der))
        self._control(ssl, _STATUS_ANSWER, len(der), memory)
        return _ANSWERED

    def _shown(self, ssl: int) -> bytes:
        certificate = self._certificate(ssl)
        size = self._der(certificate, None) if certificate else 0
        if size <= 0:
            return b""
        buffer = ctypes.create_string_buffer(size)
        # (i2d moves the pointer that it is given)
        self._der(certificate, ctypes.byref(_POINTER(ctypes.addressof(buffer))))
        return buffer.raw


def _typed(function: Any, result: object, *arguments: object) -> Callable[..., Any]:
    function.restype = result
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


def _guarded(call: Callable[..., int], first: object, otherwise: int = ERROR) -> Callable[..., int]:
    """OpenSSL gets an answer whatever happens in Python."""

    def guarded(*arguments: int) -> int:
        try:
            return call(first, *arguments)
        except Exception:  # a traceback has no way through OpenSSL
            return otherwise

    return guarded


def _pointer(context: SSLContext) -> int:
    """The SSL_CTX of a context: the first thing behind the head that every object has. Raises Unusable."""
    found = _POINTER.from_address(id(context) + object.__basicsize__).value
    if not found or found % ctypes.alignment(_POINTER):
        raise Unusable("TLS contexts of this Python look otherwise")
    return found


@cache
def usable() -> str:
    """Why this Python's OpenSSL cannot be used so ("": it can). Tried once, in a process of its own, within a second or two."""
    try:
        Library()
        ended = subprocess.run(
            [sys.executable, "-m", "rookery.shared.net.libssl_trial"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except Unusable as error:
        return str(error)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no trial: {error}"
    if ended.returncode == 0:
        return ""
    said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return said[:200] or f"a trial ended with {ended.returncode}"
