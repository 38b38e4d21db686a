"""Keep one whole and possible row per day, in order, and say how many were dropped."""

import json
import sys


def is_possible(row):
    """Nothing is missing, nothing is negative that cannot be, no maximum is below its minimum."""
    _, precipitation, temp_max, temp_min, wind, weather = row
    if None in row or not weather:
        return False
    return precipitation >= 0 and wind >= 0 and temp_max >= temp_min


def main():
    loaded = json.load(sys.stdin)["parents"]["load"]
    by_day = {row[0]: row for row in loaded["rows"] if is_possible(row)}
    rows = [by_day[day] for day in sorted(by_day)]
    dropped = len(loaded["rows"]) - len(rows)
    print(json.dumps({"columns": loaded["columns"], "dropped": dropped, "rows": rows}, sort_keys=True))


main()
