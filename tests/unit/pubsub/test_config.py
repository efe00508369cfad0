"""Settings of a node: read from forms, written to forms, compared with what publishers want (XEP-0060 sections 7.1.5, 8.2)."""

from __future__ import annotations

import pytest

from rookery.shared.xeps import data_forms
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub.config import FIELDS, FORM, OPTIONS, Config, Limits, check, read_form

LIMITS = Limits(100, 1000)


def form(form_type: str = FORM, **fields: str) -> Element:
    rows = (data_forms.Field(f"pubsub#{name}", (value,)) for name, value in fields.items())
    return data_forms.form("submit", form_type, rows)


@pytest.mark.parametrize("account", [False, True])
def test_the_form_that_is_shown_can_be_sent_back(account: bool) -> None:
    shown = Config(account).form(LIMITS)
    settings = read_form(shown, FORM, LIMITS)
    assert set(settings) == set(FIELDS)
    assert set(Config(account).with_(settings).changed) <= {"max_payload_size"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("access_model", "everybody"),
        ("max_items", "-1"),
        ("max_items", "many"),
        ("max_items", "101"),
        ("max_items", "١"),
        ("item_expire", "9" * 10),
        ("persist_items", "perhaps"),
        ("title", "t" * 1025),
        ("contact", "@"),
        ("node_type", "collection"),
    ],
)
def test_what_is_no_setting_is_not_acceptable(name: str, value: str) -> None:
    with pytest.raises(StanzaError) as caught:
        read_form(form(**{name: value}), FORM, LIMITS)
    assert caught.value.condition == "not-acceptable"


def test_unknown_fields_are_ignored_but_not_among_preconditions() -> None:
    assert read_form(form(unknown="1"), FORM, LIMITS) == {}
    with pytest.raises(StanzaError) as caught:
        read_form(form(OPTIONS, unknown="1"), OPTIONS, LIMITS, strict=True)
    assert (caught.value.condition, caught.value.app) == (
        "conflict",
        ("http://jabber.org/protocol/pubsub#errors", "precondition-not-met"),
    )


def test_max_is_as_many_as_there_may_be() -> None:
    config = Config(True, {"max_items": "max"})
    assert config.max_items(LIMITS) == 100
    check(config, {"max_items": "100"}, LIMITS)
    with pytest.raises(StanzaError):
        check(config, {"max_items": "99"}, LIMITS)
