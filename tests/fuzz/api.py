"""Holds the administration API against its own description: `make api`, or `python -m tests.fuzz.api --examples 50`.

Schemathesis reads `/api/openapi.json` of a cluster that is started for it, makes requests from it, good and bad ones and chains of them, and checks the
answers: no 5xx, no status, header, content type or body that the description does not have. It is no dependency of development, since it
needs forty packages that nothing else does: `make api` puts it into a folder of its own, and `--schemathesis` names its command.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from typing import Final

from tests.cluster.harness import Cluster

#: What must hold. (Others ask for more than an API promises: that whatever fits the description is accepted, though the user is not there.)
CHECKS: Final = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"
#: What ends, stops or empties the cluster under the others is called by tests that expect it (`tests/cluster/test_api.py`).
SKIPPED: Final = r"^/v1/cluster/(processes/.*/drain|rebalance)|^/v1/tokens/|^/v1/domains/\{domain\}$"


def main() -> int:
    """Run it; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schemathesis", default=shutil.which("schemathesis") or "")
    parser.add_argument("--examples", type=int, default=30, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("more", nargs="*", help="further options of schemathesis, behind --")
    options = parser.parse_args()
    if not options.schemathesis:
        print("there is no schemathesis: `make api` fetches it", file=sys.stderr)
        return 2
    environment = {"ROOKERY_ADMIN__REQUESTS_PER_SECOND": "100000", "ROOKERY_ADMIN__REQUESTS_BURST": "1000000"}
    with Cluster(edges=1, routers=1, workers=1, environment=environment) as cluster:
        token = cluster.cli("token", "create", "root", "--scope", "all").stdout.strip()
        url = f"http://127.0.0.1:{cluster.ready()['admin_port']}/api/openapi.json"
        command = [options.schemathesis, "run", url, "--header", f"Authorization: Bearer {token}"]
        command += ["--max-examples", str(options.examples), "--seed", str(options.seed)]
        # (the phase that leaves the token out would have its address refused for all others, as it should be)
        command += ["--checks", CHECKS, "--phases", "examples,fuzzing,stateful"]
        command += ["--exclude-path-regex", SKIPPED]
        return subprocess.run([*command, *options.more], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
