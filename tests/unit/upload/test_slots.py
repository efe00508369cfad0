"""XEP-0363 sections 5 to 7: what is asked for, what is refused, what a signature covers."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.upload import NS, PURPOSE, Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.upload.slots import (
    RefusedError,
    Slot,
    Wanted,
    given,
    judge,
    over_quota,
    sign,
    verify,
    wanted,
)

NOW = 1_600_000_000.0
DAY = 86_400
SLOT = Slot("a" * 32, "upload.x", 7, "très cool.jpg", 23_456, "image/jpeg", int(NOW) + 600, int(NOW) + DAY)


def request(attrs: str, inner: str = "") -> Stanza:
    payload = parse_element(f"<request xmlns='{NS}' {attrs}>{inner}</request>".encode())
    return Stanza.build("iq", payload, type="get", from_="romeo@x/garden", to="upload.x", id="3")


def test_a_request_is_read() -> None:
    iq = request("filename='très cool.jpg' size='23456' content-type='image/jpeg'")
    assert wanted(iq) == Wanted("très cool.jpg", 23_456, "image/jpeg", said="image/jpeg")


@pytest.mark.parametrize(
    ("type", "said"),
    [
        ("Text/Plain; charset=UTF-8", "Text/Plain; charset=UTF-8"),
        ("application/octet-stream", ""),
        ("nonsense", ""),
        ("text/plain; x=é", ""),
        ("text/plain; x=&#13;y", ""),
    ],
)
def test_a_store_signs_a_type_in_the_words_of_the_client(type: str, said: str) -> None:
    assert wanted(request(f"filename='x' size='9' content-type='{type}'")).said == said


@pytest.mark.parametrize(
    "attrs",
    ["size='1'", "filename='x'", "filename='' size='1'"]
    + [f"filename='x' size='{size}'" for size in ("0", "-1", "1e3", "٣", "9" * 16, "1.5", " 1")],
)
def test_bad_requests(attrs: str) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        wanted(request(attrs))


def purpose(name: str, attrs: str = "") -> Wanted:
    return wanted(request("filename='x' size='9'", f"<{name} xmlns='{PURPOSE}' {attrs}/>"))


def test_purposes_decide_how_long_a_file_stays() -> None:
    options = Options(days=2, profile_days=9, permanent=True)
    assert judge(purpose("message"), options, NOW) == NOW + 2 * DAY
    assert judge(purpose("unheard-of"), options, NOW) == NOW + 2 * DAY
    assert judge(purpose("profile"), options, NOW) == NOW + 9 * DAY
    assert judge(purpose("permanent"), options, NOW) == 0
    soon = purpose("ephemeral", "expire-before='2020-09-13T12:27:40Z'")
    assert judge(soon, options, NOW) == NOW + 60
    late = purpose("ephemeral", "expire-before='2090-09-10T23:08:25Z'")
    assert judge(late, options, NOW) == NOW + 2 * DAY


@pytest.mark.parametrize("moment", ["", "yesterday", "2020-09-13", "2020-09-13T12:27:40"])
def test_a_moment_is_one_of_xep_0082(moment: str) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        purpose("ephemeral", f"expire-before='{moment}'")


@pytest.mark.parametrize(
    ("want", "condition"),
    [
        (Wanted("x", 101, "a/b"), "not-acceptable"),
        (Wanted("x", 11, "a/b", "profile"), "not-acceptable"),
        (Wanted("x", 1, "a/b", "permanent"), "not-acceptable"),
        (Wanted("x", 1, "a/b", "ephemeral", int(NOW)), "bad-request"),
    ],
)
def test_what_no_account_may_have(want: Wanted, condition: str) -> None:
    with pytest.raises((StanzaError, RefusedError)) as caught:
        judge(want, Options(file_bytes=100, profile_bytes=10), NOW)
    error = caught.value.error if isinstance(caught.value, RefusedError) else caught.value
    assert error.condition == condition


def test_errors_have_their_elements() -> None:
    """Section 7: the largest size, and when to try again."""
    iq = request("filename='x' size='101'")
    with pytest.raises(RefusedError) as caught:
        judge(wanted(iq), Options(file_bytes=100), NOW)
    large = caught.value.answer(iq)
    assert (large.type, large.id, large.to, large.from_) == ("error", "3", "romeo@x/garden", "upload.x")
    (error,) = large.elements()
    assert error.attrs["type"] == "modify"
    (found,) = error.elements(NS, "file-too-large")
    assert [child.text for child in found.elements(NS, "max-file-size")] == ["100"]
    (error,) = over_quota(NOW).answer(iq).elements()
    assert error.attrs["type"] == "wait"
    assert [child.attrs for child in error.elements(NS, "retry")] == [{"stamp": "2020-09-14T00:00:00Z"}]


def test_a_slot_has_both_urls_and_its_signature_in_a_header() -> None:
    answer = given(request("filename='x' size='9'"), SLOT, "https://upload.x:5281", b"k")
    slot = answer.find(NS, "slot")
    assert slot is not None
    (put,), (get,) = slot.elements(NS, "put"), slot.elements(NS, "get")
    assert put.attrs["url"] == get.attrs["url"]
    assert get.attrs["url"] == f"https://upload.x:5281/{'a' * 32}/tr%C3%A8s%20cool.jpg"
    (header,) = put.elements(NS, "header")
    assert header.attrs == {"name": "Authorization"}
    assert verify(header.text.removeprefix("Bearer "), [b"k"]) == SLOT


def test_a_slot_of_a_store_has_its_signed_url_and_no_header() -> None:
    answer = given(request("filename='x' size='9'"), SLOT, "https://upload.x:5281", b"k", "https://s3.x/?sig")
    slot = answer.find(NS, "slot")
    assert slot is not None
    (put,), (get,) = slot.elements(NS, "put"), slot.elements(NS, "get")
    assert (put.attrs["url"], list(put.elements())) == ("https://s3.x/?sig", [])
    assert get.attrs["url"].startswith("https://upload.x:5281/")


def test_only_what_was_signed_is_a_slot() -> None:
    token = sign(SLOT, b"new")
    assert verify(token, [b"newer", b"new"]) == SLOT
    assert verify(token, [b"other"]) is None
    assert verify(token, []) is None
    for at in range(0, len(token) - 1, 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert verify(changed, [b"new"]) is None
    for bad in ("", "ü", "x", "A" * 5000, "A" * 100):
        assert verify(bad, [b"new"]) is None
