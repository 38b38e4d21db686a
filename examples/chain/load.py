"""Read each day's temperatures as integers, in tenths of a degree Celsius."""

import csv
import json


def tenths(text):
    """A decimal text with at most one place, times ten."""
    whole, _, place = text.partition(".")
    return int(whole + (place or "0"))


def main():
    with open("inputs/seattle-weather.csv", newline="", encoding="utf-8") as file:
        days = [
            [row["date"].replace("/", "-"), tenths(row["temp_max"]), tenths(row["temp_min"])]
            for row in csv.DictReader(file)
        ]
    print(json.dumps({"columns": ["date", "temp_max", "temp_min"], "days": days}, sort_keys=True))


main()
