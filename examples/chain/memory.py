"""How much of one month's residual is left in the next: their autocorrelation, in parts per million."""

import json
import sys
from itertools import pairwise

PARTS = 1_000_000


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    before = json.load(sys.stdin)["parents"]["residuals"]
    residuals = before["residuals"]
    squares = sum(each * each for each in residuals)
    if not squares:
        sys.exit("all points lie on the line: there is nothing to remember")
    memory = divide(PARTS * sum(one * other for one, other in pairwise(residuals)), squares)
    print(json.dumps({**before, "memory_ppm": memory}, sort_keys=True))


main()
