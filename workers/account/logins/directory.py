"""A directory (LDAP, RFC 4511): a password is right when its user can bind with it. ldap3 blocks, so it runs in threads with limits."""

from __future__ import annotations

import math
import ssl
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from rookery.workers.account.logins.api import Answer, AwayError
from rookery.workers.account.logins.http_service import read_secret
from rookery.workers.account.logins.settings import Ldap

if TYPE_CHECKING:
    import ldap3

#: Result codes (RFC 4511 appendix A) of a bind that say no: noSuchObject, invalidDNSyntax, inappropriateAuthentication,
#: invalidCredentials, insufficientAccessRights, unwillingToPerform.
_NO: Final = frozenset({32, 34, 48, 49, 50, 53})


class Directory:
    """Implements `BackEnd`. Raises ImportError without ldap3."""

    def __init__(self, settings: Ldap) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # ldap3 uses former names of pyasn1
            import ldap3
            import ldap3.core.exceptions
            import ldap3.utils.conv
            import ldap3.utils.dn

        self._settings = settings
        self._threads = trio.CapacityLimiter(settings.at_once)
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=settings.ca_file or None)
        self._server = ldap3.Server(
            settings.url,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=settings.timeout_seconds,
        )

    async def check(self, domain: str, localpart: str, secret: str) -> Answer:
        """Bind as the user. Raises AwayError."""
        if not secret:
            return Answer()  # a bind without a password succeeds, and proves nothing (RFC 4513 section 5.1.2)
        work = partial(self._check, domain, localpart, secret)
        right = await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
        return Answer(localpart if right else "")

    async def aclose(self) -> None:
        """Nothing is kept open."""

    # --- in a thread ---

    def _check(self, domain: str, localpart: str, secret: str) -> bool:
        from ldap3.core.exceptions import LDAPException
        from ldap3.utils.dn import escape_rdn

        try:
            if self._settings.dn:
                name = self._settings.dn.replace("{user}", escape_rdn(localpart)).replace(
                    "{domain}", escape_rdn(domain)
                )
            else:
                name = self._find(domain, localpart)
            return bool(name) and self._bound(name, secret) is not None
        except (LDAPException, OSError, ValueError) as error:
            raise AwayError(f"{type(error).__name__}: {str(error)[:200]}") from None

    def _find(self, domain: str, localpart: str) -> str:
        """The name of the one entry that is the user, "" for none or several."""
        from ldap3.utils.conv import escape_filter_chars

        settings = self._settings
        password = read_secret(settings.bind_password_file) if settings.bind_password_file else ""
        conn = self._bound(settings.bind_dn, password, keep=True)
        if conn is None:
            raise AwayError("the directory refuses bind_dn")
        try:
            wanted = settings.filter.replace("{user}", escape_filter_chars(localpart))
            wanted = wanted.replace("{domain}", escape_filter_chars(domain))
            conn.search(settings.base, wanted, attributes=["1.1"], size_limit=2, time_limit=5)
            if conn.result["result"] not in (0, 4, 32):
                raise AwayError(f"the search came to {conn.result['description']}")
            found = [one["dn"] for one in conn.response or () if one["type"] == "searchResEntry"]
        finally:
            conn.unbind()
        return str(found[0]) if len(found) == 1 else ""

    def _bound(self, name: str, password: str, *, keep: bool = False) -> ldap3.Connection | None:
        """A connection on which this bind was done, None when the directory says no."""
        import ldap3

        how: dict[str, Any] = {}
        if name:
            how = {"user": name, "password": password, "authentication": ldap3.SIMPLE}
        conn = ldap3.Connection(
            self._server,
            receive_timeout=math.ceil(self._settings.timeout_seconds),
            auto_referrals=False,
            read_only=True,
            **how,
        )
        try:
            conn.open()
            if self._settings.starttls:
                conn.start_tls()
            right, code = bool(conn.bind()), conn.result["result"]
        except BaseException:
            conn.unbind()
            raise
        if not keep or not right:
            conn.unbind()
        if not right and code not in _NO:
            raise AwayError(f"the bind came to {conn.result['description']}")
        return conn if right else None
