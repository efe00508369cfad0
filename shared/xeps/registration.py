"""XEP-0077: In-Band Registration."""

from collections.abc import Sequence
from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps import captcha
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.data_forms import Field
from rookery.shared.xmpp.xml import Element

NS = "jabber:iq:register"
#: The page where people change or remove their accounts, on the HTTP port of every edge.
PATH = "/account"
JOIN_PATH = "/account/new"
#: The stream feature's namespace (section 8).
NS_FEATURE = "http://jabber.org/features/iq-register"


class Options(Section, frozen=True):
    """New accounts made by clients, in domains whose registration is open (`rookery domain add --registration open`)."""

    per_hour: Annotated[
        int,
        about(
            "New accounts from one network in an hour", "accounts", ge=1, was="limits.registrations_per_hour"
        ),
    ] = 3
    nets: Annotated[
        tuple[str, ...], about("Networks that accounts may be made from, as 192.0.2.0/24; empty for any")
    ] = ()
    password_min: Annotated[
        int,
        about("Length of a password that a client sets, for a new account or its own", "characters", ge=1),
    ] = 1
    form_seconds: Annotated[
        float,
        about(
            "How long a person may take to fill in the form, before the connection is closed",
            "seconds",
            ge=30,
        ),
    ] = 600.0
    instructions: Annotated[str, about("What the form for a new account says to the person")] = (
        "Choose a username and a password; the email address is optional."
    )
    page: Annotated[
        bool,
        about("Serve /account, where people change their passwords and remove their accounts in a browser"),
    ] = True
    join_page: Annotated[
        bool,
        about(
            "Serve /account/new, where people make accounts in a browser, as far as their domain lets them; it asks what the domain asks"
        ),
    ] = False


XEP = Xep(
    77,
    "2.4",
    "complete",
    features={Target.DOMAIN: (NS,)},
    implemented_in="workers.account, edge",
    note="Closed by default; limited per network.",
    options=Options,
)
XEP.forward("account", NS, "query", Target.DOMAIN, Target.ACCOUNT)


def stream_feature() -> Element:
    """What an edge advertises before authentication when the domain is open for registration."""
    return Element(NS_FEATURE, "register")


def blank_form(instructions: str) -> Element:
    """The fields that an entity without an account fills in (section 3.1)."""
    return Element(
        NS,
        "query",
        None,
        Element(NS, "instructions", None, instructions),
        Element(NS, "username"),
        Element(NS, "password"),
        Element(NS, "email"),
    )


def asking_form(instructions: str, puzzle: Sequence[Field]) -> Element:
    """The same as a data form that asks something, too (XEP-0158 section 5.1)."""
    form = captcha.register_form(NS, puzzle, instructions)
    return Element(NS, "query", None, Element(NS, "instructions", None, instructions), form)


def filled_form(username: str, email: str) -> Element:
    """What a registered entity gets: that it is registered, and as whom; never the password (section 3.1)."""
    return Element(
        NS,
        "query",
        None,
        Element(NS, "registered"),
        Element(NS, "username", None, username),
        Element(NS, "password"),
        Element(NS, "email", None, email or None),
    )
