"""Every wet spell: the day it began and how many wet days it had in a row."""

import json
import sys


def main():
    spells, length = [], 0
    for date, is_wet in sorted(json.load(sys.stdin)["parents"]["wet_days"]["days"]):
        length = length + 1 if is_wet else 0
        if length == 1:
            spells.append([date, 1])
        elif length:
            spells[-1][1] = length
    print(json.dumps({"spells": spells}, sort_keys=True))


main()
