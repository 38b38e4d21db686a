"""What is normal: the mean of each month of the calendar over all years, and of the whole year."""

import json
import sys


def divide(number, by):
    """The quotient rounded half up, in integers."""
    return (2 * number + by) // (2 * by)


def main():
    months = json.load(sys.stdin)["parents"]["months"]["months"]
    calendar = {}
    for month, mean in months:
        calendar.setdefault(month[5:], []).append(mean)
    normals = {name: divide(sum(means), len(means)) for name, means in sorted(calendar.items())}
    year = divide(sum(normals.values()), len(normals))
    print(json.dumps({"months": months, "normals": normals, "year": year}, sort_keys=True))


main()
