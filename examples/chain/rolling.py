"""The mean anomaly of every twelve months in a row, by the last of them."""

import json
import sys

WINDOW = 12


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    before = json.load(sys.stdin)["parents"]["anomalies"]
    anomalies = before["anomalies"]
    rolling = [
        [anomalies[last][0], divide(sum(each for _, each in anomalies[last - WINDOW + 1 : last + 1]), WINDOW)]
        for last in range(WINDOW - 1, len(anomalies))
    ]
    print(json.dumps({"rolling": rolling, "year": before["year"]}, sort_keys=True))


main()
