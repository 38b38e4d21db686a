"""How far each rolling mean lies above the line, in thousandths of a degree."""

import json
import sys


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    before = json.load(sys.stdin)["parents"]["trend"]
    line = before["line"]
    residuals = [
        value - divide(line["start"] + line["slope"] * x, line["by"])
        for x, (_, value) in enumerate(before["rolling"])
    ]
    output = {
        "last_month": before["rolling"][-1][0],
        "line": line,
        "residuals": residuals,
        "year": before["year"],
    }
    print(json.dumps(output, sort_keys=True))


main()
