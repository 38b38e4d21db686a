"""How much warmer than normal each month was, in thousandths of a degree."""

import json
import sys


def main():
    before = json.load(sys.stdin)["parents"]["normals"]
    anomalies = [[month, mean - before["normals"][month[5:]]] for month, mean in before["months"]]
    print(json.dumps({"anomalies": anomalies, "year": before["year"]}, sort_keys=True))


main()
