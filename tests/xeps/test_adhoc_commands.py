"""XEP-0050."""

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.adhoc_commands import NS, answered, note
from rookery.shared.xeps.registry import lookup


def test_a_form_may_be_completed_and_nothing_else() -> None:
    """Section 3.4: the actions of a stage, and which of them execute means."""
    command = answered("n", "s", "executing")
    actions = command.find(NS, "actions")
    assert actions is not None
    assert actions.get("execute") == "complete"
    assert [one.name for one in actions.elements()] == ["complete"]
    assert command.get("sessionid") == "s"


def test_what_is_done_has_no_actions() -> None:
    command = answered("n", "s", "completed", note("no", "error"))
    assert command.find(NS, "actions") is None
    assert [(one.get("type"), one.text) for one in command.elements(NS, "note")] == [("error", "no")]


def test_commands_of_an_account_are_its_own() -> None:
    for target, own in ((Target.DOMAIN, False), (Target.ACCOUNT, True)):
        entry = lookup(target, "set", NS, "command")
        assert isinstance(entry, Forward)
        assert (entry.kind, entry.own_only) == ("account", own)
        assert lookup(target, "get", NS, "command") is None
