"""make bench: every benchmark against its peer in the same run; a table, and build/bench.json.

What `make fleet` has measured last is shown with it, where it has.

Ends 0 when every measurement was made. A figure that misses its aim is shown as missed, with its ratio.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.benchmarks import bench_config, bench_crowd, bench_flood, bench_ike, bench_plan

BUILD = Path(__file__).resolve().parents[2] / "build"
RESULT = BUILD / "bench.json"
FLEET = BUILD / "fleet.json"
_LINE = "{name:<72} {value:>9} {unit:<6} {peer:>9} {ratio:>7} {limit:>8}  {verdict}"


def main() -> int:
    rows: list[dict[str, object]] = []
    for name, benchmark in (
        ("configuration", bench_config),
        ("plan", bench_plan),
        ("IKE", bench_ike),
        ("many peers", bench_crowd),
        ("flood", bench_flood),
    ):
        print("== {}".format(name), flush=True)
        rows += benchmark.main()
    if FLEET.exists():
        rows += [{"limit": "", **row} for row in json.loads(FLEET.read_text())]
    print()
    print(_LINE.format(name="figure", value="ours", unit="", peer="charon", ratio="ratio", limit="aim", verdict=""))
    for row in rows:
        shown = {"peer": "", "ratio": "", **row}
        print(_LINE.format(verdict="" if row["holds"] else "MISSED", **shown))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
