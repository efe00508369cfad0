"""What a Prosody has received for its users: a module of its own writes each numbered body to a file before anything else happens to it.

A line is there when the write has returned, so it outlives SIGKILL. Thereby the count does not depend on what Prosody does with a message
afterwards: it keeps what its users have not acknowledged in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

MODULE: Final = "witness"
_SOURCE: Final = """
local out = assert(io.open("{path}", "a"));
out:setvbuf("line");
local function note(event)
  local stanza = event.stanza;
  local body = stanza:get_child_text("body");
  if stanza.attr.type ~= "error" and body then out:write(body, "\\n"); end
end
module:hook("message/full", note, 1000);
module:hook("message/bare", note, 1000);
"""


class Witness:
    """The file, from the last look on."""

    def __init__(self, folder: Path) -> None:
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        self._path = folder / "witness.log"
        self._path.touch()
        self._path.chmod(0o666)
        (self.plugins / f"mod_{MODULE}.lua").write_text(_SOURCE.format(path=self._path))
        self._at = 0
        self._rest = b""

    @property
    def options(self) -> str:
        """For the configuration."""
        return f'plugin_paths = {{ "{self.plugins}" }}'

    def look(self) -> Iterator[tuple[int, int]]:
        """(sender, number) of what came since the last look."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            sender, _, n = line.decode().partition(":")
            yield int(sender), int(n)
