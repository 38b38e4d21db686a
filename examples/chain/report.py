"""Report the mean temperature expected of the twelve months that end with the next one.

In thousandths of a degree Celsius, under params' "symbol" (at most 32 bytes); the arguments are those of
report(bytes32 symbol, uint256 figure).
"""

import json
import sys


def main():
    document = json.load(sys.stdin)
    outlook = document["parents"]["outlook"]
    symbol = "0x" + document["params"]["symbol"].encode().ljust(32, b"\0").hex()
    figure = max(0, outlook["year"] + outlook["anomaly"])
    print(json.dumps({"arguments": [symbol, figure], "month": outlook["month"]}, sort_keys=True))


main()
