"""Each month's mean temperature in thousandths of a degree: the mean of its days' highest and lowest."""

import json
import sys


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    months = {}
    for date, highest, lowest in json.load(sys.stdin)["parents"]["load"]["days"]:
        months.setdefault(date[:7], []).append(highest + lowest)
    means = [[month, divide(sum(days) * 50, len(days))] for month, days in sorted(months.items())]
    print(json.dumps({"months": means}, sort_keys=True))


main()
