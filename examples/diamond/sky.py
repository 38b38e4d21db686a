"""Rank the months of the calendar by their share of days with sun, in parts per million; 1 has the most."""

import json
import sys

PARTS = 1_000_000


def main():
    loaded = json.load(sys.stdin)["parents"]["load"]
    column = loaded["columns"].index("weather")
    months = {}
    for day in loaded["days"]:
        months.setdefault(day[0][5:7], []).append(day[column] == "sun")

    shares = {month: sum(days) * PARTS // len(days) for month, days in months.items()}
    order = sorted(shares, key=lambda month: (-shares[month], month))
    ranks = {month: place for place, month in enumerate(order, start=1)}
    print(json.dumps({"column": "weather", "ranks": ranks, "sun_ppm": shares}, sort_keys=True))


main()
