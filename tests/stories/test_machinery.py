"""The runner itself: its grammar and its matching rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.elements import StreamReader, fragments, serialise
from tests.stories.match import difference, substitute
from tests.stories.parser import ScriptError, parse, read

SCRIPT = """# A title
# More of it
## slow
## order: any

[Client] Romeo
	jid: romeo@localhost/orchard
	password: password
[Client] Romeo's phone
	jid: romeo@localhost
	resource: phone

---------

-- a comment
Romeo connects

Romeo's phone sends:
	<presence>
		<priority>1</priority>
	</presence>

# Another
Romeo receives: nothing
Romeo receives
	<presence/>
Romeo disconnects
"""


def test_grammar() -> None:
    story = parse(SCRIPT)
    assert story.title == "A title"
    assert story.tags == {"slow": "", "order": "any"}
    assert story.characters["Romeo's phone"] == {
        "class": "Client",
        "jid": "romeo@localhost",
        "resource": "phone",
    }
    assert [(step.actor, step.verb) for step in story.steps] == [
        ("Romeo", "connects"),
        ("Romeo's phone", "sends"),
        ("Romeo", "receives"),
        ("Romeo", "receives"),
        ("Romeo", "disconnects"),
    ]
    assert story.steps[2].body == "nothing"
    assert story.steps[1].body.startswith("<presence>")


@pytest.mark.parametrize(
    "tail",
    [
        "Romeo dances\n",
        "Juliet connects\n",
        "Romeo sends:\n",
        "Romeo connects: now\n",
        "Romeo connects now\n",
    ],
)
def test_mistakes_are_told(tail: str) -> None:
    with pytest.raises(ScriptError):
        parse("[Client] Romeo\n\tjid: r@localhost\n---\n" + tail)


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("<message/>", "<message type='chat'><body>x</body></message>", True),
        ("<message type='chat'/>", "<message/>", False),
        ("<message type='chat'/>", "<message type='normal'/>", False),
        ("<message><body>x</body></message>", "<message><thread/><body> x </body></message>", True),
        ("<message><body>x</body></message>", "<message><body>y</body></message>", False),
        ("<message><body/><body/></message>", "<message><body>y</body></message>", False),
        ("<presence/>", "<message/>", False),
        ("<iq id='{scansion:any}'/>", "<iq id='17'/>", True),
        ("<iq id='{scansion:any}'/>", "<iq/>", False),
        ("<iq><q xmlns='u:q'/></iq>", "<iq><q xmlns='u:q' a='1'/></iq>", False),
        ("<iq><q xmlns='u:q'/></iq>", "<iq><q xmlns='u:q'><r/></q></iq>", False),
        ("<iq><q xmlns='u:q'/></iq>", "<iq><q xmlns='u:r'/></iq>", False),
        ("<iq><q xmlns='u:q' scansion:strict='false'/></iq>", "<iq><q xmlns='u:q' a='1'><r/></q></iq>", True),
        ("<iq><q xmlns='u:q'><a/><b/></q></iq>", "<iq><q xmlns='u:q'><b/><a/></q></iq>", False),
        ("<iq scansion:strict='true' type='get'/>", "<iq type='get' to='x'/>", False),
        ("<iq scansion:strict='true' type='get'><a/></iq>", "<iq type='get'><a/></iq>", True),
    ],
)
def test_matching(expected: str, got: str, same: bool) -> None:
    reason = difference(fragments(expected)[0], fragments(got)[0], {})
    assert (reason is None) is same, reason


def test_captures_are_kept_only_when_all_matches() -> None:
    captures: dict[str, str] = {}
    wanted = fragments("<iq id='{scansion:capture:id}' type='set'/>")[0]
    assert difference(wanted, fragments("<iq id='1' type='get'/>")[0], captures)
    assert captures == {}
    assert difference(wanted, fragments("<iq id='2' type='set'/>")[0], captures) is None
    assert substitute("<iq id='${id}'/>", captures) == "<iq id='2'/>"


def test_values_are_escaped() -> None:
    assert substitute("<a b='${x}'/>", {"x": "'<&>\""}) == "<a b='&apos;&lt;&amp;&gt;&quot;'/>"
    with pytest.raises(KeyError):
        substitute("${y}", {"x": "1"})


def test_serialisation_survives_a_parser() -> None:
    text = (
        "<message xml:lang='cs'><body>a&amp;&lt;b</body><x xmlns='u:x' a='it&apos;s'><y/>tail</x></message>"
    )
    node = fragments(text)[0]
    assert difference(node, fragments(serialise(node))[0], {}) is None
    assert difference(fragments(serialise(node))[0], node, {}) is None


def test_stream_in_pieces() -> None:
    data = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
    data += b"<message><body>1</body></message><presence/></stream:stream>"
    reader = StreamReader()
    tags = [node.tag for byte in data for node in reader.feed(bytes([byte]))]
    assert tags == ["{jabber:client}message", "{jabber:client}presence"]
    assert reader.closed
    assert reader.header == {"id": "1"}


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("*.scs")), ids=lambda path: path.stem)
def test_stories_can_be_read_and_cite_their_source(path: Path) -> None:
    story = read(path)
    first = path.read_text().splitlines()[0]
    assert first.startswith(("# RFC ", "# XEP-"))
    assert story.steps
    assert len(set(story.tags) - {"order", "skip-prosody", "unfiltered"}) == 0
