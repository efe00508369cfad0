"""XEP-0133."""

import pytest

from rookery.admin.adhoc.commands import WORK
from rookery.shared.xeps import invitations
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.adhoc_commands import NS
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import values
from rookery.shared.xeps.service_administration import ADMIN, BY_NODE, COMMANDS, NOT_ALLOWED, digest, message
from rookery.shared.xeps.service_discovery import NS_INFO, NS_ITEMS
from rookery.shared.xmpp.errors import StanzaError

from .helpers import ask, iq

#: Sections 4.1 to 4.31, without those of which there is nothing here.
NODES = [
    "add-user",
    "delete-user",
    "disable-user",
    "reenable-user",
    "end-user-session",
    "change-user-password",
    "get-user-roster",
    "get-user-lastlogin",
    "user-stats",
    "edit-blacklist",
    "edit-whitelist",
    "get-registered-users-num",
    "get-disabled-users-num",
    "get-online-users-num",
    "get-active-users-num",
    "get-idle-users-num",
    "get-registered-users-list",
    "get-disabled-users-list",
    "get-online-users-list",
    "get-active-users",
    "get-idle-users",
    "announce",
    "set-motd",
    "edit-motd",
    "delete-motd",
    "set-welcome",
    "delete-welcome",
    "edit-admin",
]


def query(namespace: str, node: str) -> str:
    return f"<query xmlns='{namespace}' node='{node}'/>"


def test_every_command_of_the_table_is_done() -> None:
    assert [one.node for one in COMMANDS] == NODES
    assert set(WORK) == set(NODES)
    assert not NOT_ALLOWED & set(BY_NODE)


@pytest.mark.parametrize(
    ("target", "to"), [(Target.DOMAIN, "example.org"), (Target.ACCOUNT, "alice@example.org")]
)
def test_administrators_find_the_commands(target: Target, to: str) -> None:
    """Section 3, and XEP-0050 section 2.2: nodes of the address that was asked."""
    of = {"address": to, "own": True, "admin": True}
    found = ask(iq(query(NS_ITEMS, NS), to=to), target, **of).elements()[0]
    invite = invitations.COMMANDS.items() if target is Target.DOMAIN else ()
    assert [(one.get("jid"), one.get("node"), one.get("name")) for one in found.elements()] == [
        *((to, one.full, one.name) for one in COMMANDS),
        *((to, node, name) for node, name in invite),
    ]
    one = ask(iq(query(NS_INFO, COMMANDS[0].full), to=to), target, **of).elements()[0]
    identity = one.find(NS_INFO, "identity")
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("automation", "command-node")
    assert [feature.get("var") for feature in one.elements(NS_INFO, "feature")] == [NS, FORMS]


@pytest.mark.parametrize(
    ("target", "to"), [(Target.DOMAIN, "example.org"), (Target.ACCOUNT, "alice@example.org")]
)
def test_the_others_see_none(target: Target, to: str) -> None:
    of = {"address": to, "own": True}
    found = ask(iq(query(NS_ITEMS, NS), to=to), target, **of).elements()[0]
    invite = [invitations.INVITE] if target is Target.DOMAIN else []  # (XEP-0401, by default)
    assert [one.get("node") for one in found.elements()] == invite
    with pytest.raises(StanzaError) as caught:
        ask(iq(query(NS_INFO, COMMANDS[0].full), to=to), target, **of)
    assert caught.value.condition == "forbidden"


def test_another_account_has_no_commands() -> None:
    with pytest.raises(StanzaError) as caught:
        ask(iq(query(NS_ITEMS, NS), to="bob@example.org"), Target.ACCOUNT, address="bob@example.org")
    assert caught.value.condition == "item-not-found"


def test_a_form_is_as_the_specification_has_it() -> None:
    """Example 2."""
    form = BY_NODE[f"{ADMIN}#add-user"].form()
    assert form.get("type") == "form"
    assert values(form)["FORM_TYPE"] == [ADMIN]
    fields = list(form.elements(FORMS, "field"))[1:]
    assert [(one.get("var"), one.get("type")) for one in fields] == [
        ("accountjid", "jid-single"),
        ("password", "text-private"),
        ("password-verify", "text-private"),
        ("email", "text-single"),
        ("given_name", "text-single"),
        ("surname", "text-single"),
    ]
    assert fields[0].find(FORMS, "required") is not None


def test_a_list_may_be_cut() -> None:
    """Example 68."""
    form = BY_NODE[f"{ADMIN}#get-online-users-list"].form()
    field = list(form.elements(FORMS, "field"))[1]
    assert [option.find_text(FORMS, "value") for option in field.elements(FORMS, "option")] == [
        "25", "50", "75", "100", "150", "200", "none",
    ]  # fmt: skip


def test_what_is_set_already_stands_in_the_form() -> None:
    form = BY_NODE[f"{ADMIN}#edit-motd"].form(motd=("one", "two"))
    assert values(form)["motd"] == ["one", "two"]


def test_a_domain_tells_its_users() -> None:
    stanza = message("example.org", "alice@example.org", "a\nb", "1")
    assert (stanza.from_, stanza.to, stanza.type) == ("example.org", "alice@example.org", "normal")
    assert digest("a") != digest("b")
