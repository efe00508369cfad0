"""Each server that `rookery bench peers` knows starts from its package, takes users, is loaded, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from rookery.bench.cli_peers import all_peers
from rookery.bench.peers.campaign import Campaign
from rookery.bench.peers.peer import Peer, PeerError
from rookery.bench.plan import Plan, make
from rookery.bench.result import Result
from rookery.bench.run import Silent, run
from rookery.bench.server import read_ready_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize("peer", all_peers(), ids=lambda peer: peer.name)
def test_a_short_chat(peer: Peer) -> None:
    try:
        peer.check()
    except PeerError as error:
        pytest.skip(str(error))
    plan = make(
        {"scenario": "chat", "users": 4, "transport": "plain", "duration": 1.0, "warmup": 0.5, "drain": 5.0}
    )

    pids: list[int] = []

    def once(plan: Plan) -> Result:
        pids.extend(root.pid for root in read_ready_file(Path(plan.ready_file)))
        return trio.run(run, plan, Silent())

    outcome = Campaign(plan, once, lambda _: None).compare([peer], 1)
    assert outcome.skipped == {}
    (result,) = outcome.results
    assert result.label == peer.name
    assert result.connections == 4
    assert result.messages.delivered > 0
    assert (result.messages.lost, result.messages.duplicated, result.messages.reordered) == (0, 0, 0)
    assert result.server is not None
    assert result.server.cpu_us_per_stanza is not None
    assert result.server.cpu_us_per_stanza > 0
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
