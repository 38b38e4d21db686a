"""Sum up each year: days, wet days, precipitation, the highest and lowest temperature, kinds of weather."""

import json
import sys
from collections import Counter


def summarise(rows):
    """One year's figures, in the units of the rows."""
    return {
        "days": len(rows),
        "precipitation": sum(row[1] for row in rows),
        "temp_max": max(row[2] for row in rows),
        "temp_min": min(row[3] for row in rows),
        "weather": dict(sorted(Counter(row[5] for row in rows).items())),
        "wet_days": sum(row[1] > 0 for row in rows),
    }


def main():
    rows = json.load(sys.stdin)["parents"]["clean"]["rows"]
    years = sorted({row[0][:4] for row in rows})
    summary = {year: summarise([row for row in rows if row[0].startswith(year)]) for year in years}
    print(json.dumps({"years": summary}, sort_keys=True))


main()
