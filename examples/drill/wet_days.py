"""Which days were wet: at least a millimetre of precipitation."""

import csv
import json


def main():
    with open("inputs/seattle-weather.csv", newline="", encoding="utf-8") as file:
        days = [
            [row["date"].replace("/", "-"), int(row["precipitation"].partition(".")[0]) >= 1]
            for row in csv.DictReader(file)
        ]
    print(json.dumps({"days": days}, sort_keys=True))


main()
