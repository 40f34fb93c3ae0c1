"""`python -m benchmarks.capacity`; see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.capacity.costs import FILE, Costs
from benchmarks.capacity.measure import measure
from benchmarks.capacity.plan import Demand, Prices, plan, table

TURNS = (100_000, 10_000_000, 1_000_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", allow_abbrev=False)
    parser.add_argument("--measure", type=Path, metavar="STORE")
    parser.add_argument("--large", type=Path, metavar="STORE", help="of millions of turns")
    parser.add_argument("--turns-per-day", type=int, action="append", metavar="N")
    parser.add_argument("--days", type=int, default=Demand.days)
    parser.add_argument("--texts", type=float, help="distinct texts per turn")
    parser.add_argument("--cores", type=int, default=Demand.cores, help="of a machine")
    parser.add_argument("--utilisation", type=float, default=Demand.utilisation)
    parser.add_argument("--core-hour", type=float, default=Prices.core_hour, metavar="US$")
    parser.add_argument("--gb-month", type=float, default=Prices.gb_month, metavar="US$")
    parser.add_argument("--thousand-writes", type=float, default=Prices.thousand_writes)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.large).write()
        print(f"Wrote {FILE}.", file=sys.stderr)
    costs = Costs.read()
    prices = Prices(given.core_hour, given.gb_month, given.thousand_writes)
    texts = costs.texts_per_turn if given.texts is None else given.texts
    try:
        plans = [
            plan(Demand(turns, given.days, texts, given.utilisation, given.cores), costs, prices)
            for turns in given.turns_per_day or TURNS
        ]
    except ValueError as error:
        parser.error(str(error))
    print(table(plans))


if __name__ == "__main__":
    main()
