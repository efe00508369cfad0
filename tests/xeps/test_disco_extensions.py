"""XEP-0128."""

from rookery.shared.xeps._disco import NS_INFO, domain_info


def test_an_answer_carries_a_form_after_its_features() -> None:
    query = domain_info(["urn:x"], (("abuse-addresses", ("mailto:a@x",)),))
    assert [(child.ns, child.name) for child in query.elements()] == [
        (NS_INFO, "identity"),
        (NS_INFO, "feature"),
        ("jabber:x:data", "x"),
    ]
