"""Is the next month's price worth a report? Only if it moved far, or if nothing was said for long.

Reads inputs/stocks.csv and what earlier runs kept: the month looked at last, the price reported last (in
cents), and how many runs said nothing since. params are {"symbol", "board", "selector",
"deviation_percent", "quiet_runs"}. Each run looks at one month more, and from the last one starts anew.
Prints should_execute, where it is true the call report(bytes32 symbol, uint256 cents) of the board, and what
the next run is to find. All in integers, so that every keeper prints the same bytes.
"""

import csv
import json
import sys
from decimal import Decimal

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def month_of(text):
    """`Mar 1 2010` as `2010-03`."""
    month, _, year = text.split()
    return f"{year}-{MONTHS.index(month) + 1:02}"


def read_prices(path, symbol):
    """The symbol's prices in cents by month, oldest first."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [
            (month_of(row["date"]), int(Decimal(row["price"]) * 100))
            for row in csv.DictReader(file)
            if row["symbol"] == symbol
        ]
    return sorted(rows)


def is_worth_it(cents, reported, quiet, params):
    """Whether this price is to be reported, and why or why not."""
    if reported is None:
        return True, "nothing was reported yet"
    if abs(cents - reported) * 100 >= reported * params["deviation_percent"]:
        return True, "it moved far"
    if quiet >= params["quiet_runs"]:
        return True, "nothing was said for long"
    return False, "nothing to say"


def main():
    document = json.load(sys.stdin)
    params, kept = document["params"], document["storage"]
    prices = read_prices("inputs/stocks.csv", params["symbol"])
    if not prices:
        sys.exit(f"no prices of {params['symbol']}")

    later = [row for row in prices if row[0] > kept.get("month", "")]
    month, cents = (later or prices)[0]
    quiet = kept.get("quiet", 0)
    says_so, reason = is_worth_it(cents, kept.get("reported_cents"), quiet, params)

    updates = {"month": month, "quiet": 0 if says_so else quiet + 1}
    output = {
        "metadata": {"cents": cents, "month": month, "reason": reason},
        "should_execute": says_so,
        "storage_updates": updates,
    }
    if says_so:
        updates["reported_cents"] = cents
        symbol = params["symbol"].encode().ljust(32, b"\0").hex()
        output["target"] = params["board"]
        output["calldata"] = params["selector"] + symbol + cents.to_bytes(32, "big").hex()
    print(json.dumps(output, sort_keys=True))


main()
