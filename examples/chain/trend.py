"""The straight line through the rolling means, by least squares, as exact fractions.

The value at point x (0, 1, …) is (`start` + `slope` · x) / `by`.
"""

import json
import sys


def main():
    before = json.load(sys.stdin)["parents"]["rolling"]
    values = [value for _, value in before["rolling"]]
    n, sum_x, sum_y = len(values), sum(range(len(values))), sum(values)
    sum_xx = sum(x * x for x in range(n))
    sum_xy = sum(x * y for x, y in enumerate(values))

    by = n * sum_xx - sum_x * sum_x
    slope = n * sum_xy - sum_x * sum_y
    start = sum_y * sum_xx - sum_x * sum_xy
    line = {"by": by, "slope": slope, "start": start}
    print(json.dumps({"line": line, "rolling": before["rolling"], "year": before["year"]}, sort_keys=True))


main()
