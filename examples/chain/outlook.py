"""The next rolling mean: the line one month on, and what is left of the last residual."""

import json
import sys

PARTS = 1_000_000


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def next_month(month):
    """The month after `2015-12` is `2016-01`."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02}"


def main():
    before = json.load(sys.stdin)["parents"]["memory"]
    line, residuals = before["line"], before["residuals"]
    on_line = divide(line["start"] + line["slope"] * len(residuals), line["by"])
    anomaly = on_line + divide(before["memory_ppm"] * residuals[-1], PARTS)
    output = {"anomaly": anomaly, "month": next_month(before["last_month"]), "year": before["year"]}
    print(json.dumps(output, sort_keys=True))


main()
