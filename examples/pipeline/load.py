"""Read the weather as integers: tenths of a millimetre, of a degree and of a metre per second."""

import csv
import json
from decimal import Decimal


def tenths(text):
    """A decimal text times ten, or null where it is empty."""
    return int(Decimal(text) * 10) if text else None


def main():
    with open("inputs/seattle-weather.csv", newline="", encoding="utf-8") as file:
        rows = [
            [
                row["date"].replace("/", "-"),
                tenths(row["precipitation"]),
                tenths(row["temp_max"]),
                tenths(row["temp_min"]),
                tenths(row["wind"]),
                row["weather"],
            ]
            for row in csv.DictReader(file)
        ]
    columns = ["date", "precipitation", "temp_max", "temp_min", "wind", "weather"]
    print(json.dumps({"columns": columns, "rows": rows}, sort_keys=True))


main()
