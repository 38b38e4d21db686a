"""Read the weather as integers: tenths of a millimetre, of a degree and of a metre per second."""

import csv
import json


def tenths(text):
    """A decimal text with at most one place, times ten."""
    whole, _, place = text.partition(".")
    return int(whole + (place or "0"))


def main():
    with open("inputs/seattle-weather.csv", newline="", encoding="utf-8") as file:
        days = [
            [
                row["date"].replace("/", "-"),
                tenths(row["precipitation"]),
                tenths(row["temp_max"]),
                tenths(row["wind"]),
                row["weather"],
            ]
            for row in csv.DictReader(file)
        ]
    columns = ["date", "precipitation", "temp_max", "wind", "weather"]
    print(json.dumps({"columns": columns, "days": days}, sort_keys=True))


main()
