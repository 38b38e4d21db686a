"""Rank the months of the calendar by one column's mean over all years; 1 is the best to be outside.

params are {"column": name, "best": "highest" or "lowest"}. Means are in thousandths of the column's unit.
"""

import json
import sys


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    document = json.load(sys.stdin)
    params, loaded = document["params"], document["parents"]["load"]
    column = loaded["columns"].index(params["column"])
    months = {}
    for day in loaded["days"]:
        months.setdefault(day[0][5:7], []).append(day[column])

    means = {month: divide(sum(values) * 100, len(values)) for month, values in months.items()}
    sign = -1 if params["best"] == "highest" else 1
    order = sorted(means, key=lambda month: (sign * means[month], month))
    ranks = {month: place for place, month in enumerate(order, start=1)}
    print(json.dumps({"column": params["column"], "means": means, "ranks": ranks}, sort_keys=True))


main()
