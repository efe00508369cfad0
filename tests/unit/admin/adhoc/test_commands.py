"""Commands of administrators without a database: sessions that any process verifies, and forms that are filled in."""

from __future__ import annotations

import pytest

from rookery.admin.adhoc import session
from rookery.admin.adhoc.commands import submitted
from rookery.admin.adhoc.session import LASTS, Bearer
from rookery.shared.xeps.adhoc_commands import NS
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.service_administration import ADMIN, BY_NODE
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element

BEARER = Bearer("add-user", "boss@x.example/phone", "x.example")
NEW, OLD = b"n" * 32, b"o" * 32


def test_a_session_is_good_anywhere_for_a_while() -> None:
    id = session.issue(OLD, BEARER, 1000.5, "abc")
    session.verify((NEW, OLD), BEARER, id, 1001.0)
    session.verify((NEW, OLD), BEARER, id, 1000 + LASTS - 1)
    with pytest.raises(StanzaError) as caught:
        session.verify((NEW, OLD), BEARER, id, 1000 + LASTS)
    assert (caught.value.condition, caught.value.app) == ("not-allowed", (NS, "session-expired"))


@pytest.mark.parametrize(
    "other",
    [
        BEARER._replace(node="delete-user"),
        BEARER._replace(full="boss@x.example/tablet"),
        BEARER._replace(to="y.example"),
    ],
)
def test_a_session_is_of_one_command_one_client_and_one_address(other: Bearer) -> None:
    id = session.issue(NEW, BEARER, 1000.0, "abc")
    with pytest.raises(StanzaError) as caught:
        session.verify((NEW,), other, id, 1000.0)
    assert caught.value.app == (NS, "bad-sessionid")


@pytest.mark.parametrize("id", ["", ".", "x", "3e8.abc.", "é.abc.0", "3e9.abc." + "0" * 40, "." * 100])
def test_what_was_not_issued_here(id: str) -> None:
    with pytest.raises(StanzaError) as caught:
        session.verify((NEW,), BEARER, id, 1000.0)
    assert caught.value.app == (NS, "bad-sessionid")


def command(*children: Element) -> Element:
    return Element(NS, "command", {"node": "n"}, *children)


def test_a_form_that_was_filled_in() -> None:
    add = BY_NODE[f"{ADMIN}#add-user"]
    x = form("submit", ADMIN, [Field("accountjid", ("a@x.example",))])
    assert submitted(add, command(x)) == {"accountjid": ["a@x.example"]}
    x = Element("jabber:x:data", "x", {"type": "submit"}, Field("accountjid", ("a@x",)).element())
    assert submitted(add, command(x))["accountjid"] == ["a@x"]


@pytest.mark.parametrize(
    "children",
    [
        (),
        (form("submit", ADMIN, []),),
        (form("submit", ADMIN, [Field("accountjid", (" ",))]),),
        (form("submit", "urn:other", [Field("accountjid", ("a@x",))]),),
    ],
)
def test_a_form_that_cannot_be_taken(children: tuple[Element, ...]) -> None:
    with pytest.raises(StanzaError) as caught:
        submitted(BY_NODE[f"{ADMIN}#add-user"], command(*children))
    assert (caught.value.condition, caught.value.app) == ("bad-request", (NS, "bad-payload"))
