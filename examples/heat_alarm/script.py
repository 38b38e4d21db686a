"""Was it hot for long enough on one day? If so the alarm agreed on beforehand is raised.

Reads inputs/seattle-temps.csv (hourly, °F); params are {"station", "day": "YYYY-MM-DD", "hours",
"limit_milli_celsius", "selector"}. Prints should_execute and, where it is true, the call data of
raise_alarm(bytes32 station, int256 milli_celsius, uint256 day): the station, the limit that was
reached, and the day counted from 1970-01-01, which are the job's static arguments.
"""

import csv
import json
import sys
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal


def milli_celsius(fahrenheit):
    """A temperature in thousandths of a degree Celsius, rounded half to even."""
    return int(((Decimal(fahrenheit) - 32) * 5000 / 9).to_integral_value(ROUND_HALF_EVEN))


def word(number):
    """An integer as the 32 bytes the chain reads, in hex."""
    return (number % 2**256).to_bytes(32, "big").hex()


def main():
    params = json.load(sys.stdin)["params"]
    day, limit = date.fromisoformat(params["day"]), params["limit_milli_celsius"]
    with open("inputs/seattle-temps.csv", newline="", encoding="utf-8") as file:
        readings = [
            milli_celsius(row["temp"])
            for row in csv.DictReader(file)
            if row["date"].split(" ")[0] == day.strftime("%Y/%m/%d")
        ]
    if not readings:
        sys.exit(f"no temperatures of {day}")

    hot_hours = sum(reading >= limit for reading in readings)
    is_hot = hot_hours >= params["hours"]
    output = {
        "metadata": {
            "highest_milli_celsius": max(readings),
            "hot_hours": hot_hours,
            "reason": "the limit was reached" if is_hot else "nothing to do",
        },
        "should_execute": is_hot,
    }
    if is_hot:
        station = params["station"].encode().ljust(32, b"\0").hex()
        days = (day - date(1970, 1, 1)).days
        output["calldata"] = params["selector"] + station + word(limit) + word(days)
    print(json.dumps(output, sort_keys=True))


main()
