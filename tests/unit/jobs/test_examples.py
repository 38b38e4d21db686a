"""The example scripts, run as plain programs on the real data; their figures computed anew elsewhere."""

import csv
import itertools
import json
import math
import statistics
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from apps.execution.domain.action import derive_action
from apps.kernel.abi import compute_selector, encode_call
from apps.kernel.abi_text import entry_of_function
from apps.storage.data import Snapshot, StorageLimits
from apps.storage.domain.updates import read_updates

EXAMPLES = Path(__file__).parents[3] / "examples"
BOARD = "0x" + "04" * 20
LIMITS = StorageLimits(keys_max=64, value_max_bytes=4_096, total_max_bytes=32_768)
SYMBOLS = ("AAPL", "AMZN", "GOOG", "IBM", "MSFT")
SELECTOR = "0x" + compute_selector(entry_of_function("raise_alarm(bytes32,int256,uint256)")).hex()


def rows_of(name):
    with open(EXAMPLES / "data" / name, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_price_report_is_the_volatility_of_the_last_twelve_monthly_returns(run, symbol):
    output = run("price_report/script.py", inputs=["stocks.csv"], params={"symbol": symbol, "months": 12})
    # The file is in order of time within a symbol.
    prices = [float(row["price"]) for row in rows_of("stocks.csv") if row["symbol"] == symbol][-13:]
    returns = [math.log(after) - math.log(before) for before, after in itertools.pairwise(prices)]
    expected = statistics.stdev(returns) * math.sqrt(12) * 1_000_000
    assert abs(output["figure_ppm"] - expected) <= 0.51
    assert output["arguments"] == ["0x" + symbol.encode().hex().ljust(64, "0"), output["figure_ppm"]]
    assert (output["from"], output["to"]) == ("2009-03", "2010-03")
    encode_call(entry_of_function("report(bytes32,uint256)"), output["arguments"])


def test_the_known_figures_do_not_move(run):
    figures = {
        symbol: run("price_report/script.py", inputs=["stocks.csv"], params={"symbol": symbol, "months": 12})[
            "figure_ppm"
        ]
        for symbol in SYMBOLS
    }
    assert figures == FIGURES


FIGURES = {"AAPL": 231067, "AMZN": 334979, "GOOG": 245408, "IBM": 163456, "MSFT": 184902}


def test_a_symbol_without_enough_prices_fails(run):
    with pytest.raises(AssertionError, match="TSLA has 0 prices, 13 are needed"):
        run("price_report/script.py", inputs=["stocks.csv"], params={"symbol": "TSLA", "months": 12})


def job_of(name):
    return json.loads((EXAMPLES / "heat_alarm" / name).read_text())


def test_a_hot_day_raises_the_alarm_the_static_arguments_agreed_on(run):
    job = job_of("job.json")
    params = {**job["params"], "selector": SELECTOR}
    output = run("heat_alarm/script.py", inputs=["seattle-temps.csv"], params=params)
    day = [float(row["temp"]) for row in rows_of("seattle-temps.csv") if row["date"].startswith("2010/07/28")]
    assert output["should_execute"] is True
    assert output["metadata"]["highest_milli_celsius"] == round((max(day) - 32) * 5000 / 9)
    assert output["metadata"]["hot_hours"] == sum((each - 32) / 1.8 >= 24 for each in day) == 3
    values = ["0x" + b"SEATTLE".hex().ljust(64, "0"), *job["arguments"]["values"][1:]]
    assert values[2] == str((date(2010, 7, 28) - date(1970, 1, 1)).days)
    function = entry_of_function(job["action"]["function"])
    assert output["calldata"] == "0x" + encode_call(function, values).hex()


def test_on_a_cold_day_there_is_nothing_to_do(run):
    params = {**job_of("quiet_day.json")["params"], "selector": SELECTOR}
    output = run("heat_alarm/script.py", inputs=["seattle-temps.csv"], params=params)
    assert output["should_execute"] is False
    assert output["metadata"]["reason"] == "nothing to do"
    assert "calldata" not in output


def test_temperatures_below_zero_are_whole_words_on_the_chain(run):
    params = {**job_of("job.json")["params"], "selector": SELECTOR, "limit_milli_celsius": -1500}
    output = run("heat_alarm/script.py", inputs=["seattle-temps.csv"], params=params)
    assert output["calldata"][74:138] == ((1 << 256) - 1500).to_bytes(32).hex()


def test_the_price_guard_goes_month_by_month_and_speaks_when_the_price_moved_far_or_after_long_silence(run):
    job = json.loads((EXAMPLES / "price_guard" / "job.json").read_text())
    selector = "0x" + compute_selector(entry_of_function("report(bytes32,uint256)")).hex()
    params = {**job["params"], "board": BOARD, "selector": selector, "quiet_runs": 2}
    prices = [round(float(row["price"]) * 100) for row in rows_of("stocks.csv") if row["symbol"] == "IBM"]
    spec = {"action": {"custom": True, "targets": [BOARD], "gas_limit": 150_000}}
    kept: dict[str, Any] = {}
    reasons: Counter[str] = Counter()
    reported, quiet = None, 0
    for cents in prices[:40]:
        output = run("price_guard/script.py", inputs=["stocks.csv"], params=params, storage=kept)
        action = derive_action(spec, output)
        far = reported is None or abs(cents - reported) / reported >= 0.1
        assert output["should_execute"] is (far or quiet >= 2) is (action is not None)
        if action is None:
            quiet += 1
        else:
            symbol = "0x" + b"IBM".hex().ljust(64, "0")
            function = entry_of_function("report(bytes32,uint256)")
            assert action.call_data == encode_call(function, [symbol, cents])
            reported, quiet = cents, 0
        reasons[output["metadata"]["reason"]] += 1
        kept |= read_updates(output, Snapshot(stored={}, limits=LIMITS))
        assert (kept["reported_cents"], kept["quiet"]) == (reported, quiet)
    assert len(reasons) == 4


def test_after_the_last_month_the_price_guard_starts_anew(run):
    params = json.loads((EXAMPLES / "price_guard" / "job.json").read_text())["params"]
    params |= {"board": BOARD, "selector": SELECTOR}
    kept = {"month": "2010-03", "reported_cents": 1, "quiet": 0}
    output = run("price_guard/script.py", inputs=["stocks.csv"], params=params, storage=kept)
    assert output["metadata"]["month"] == "2000-01"


def test_the_pipeline_reports_a_years_precipitation(run):
    loaded = run("pipeline/load.py", inputs=["seattle-weather.csv"])
    cleaned = run("pipeline/clean.py", parents={"load": loaded})
    aggregated = run("pipeline/aggregate.py", parents={"clean": cleaned})
    params = {"year": 2015, "symbol": "SEATTLE.RAIN.2015"}
    published = run("pipeline/publish.py", parents={"aggregate": aggregated}, params=params)

    rows = rows_of("seattle-weather.csv")
    of_2015 = [row for row in rows if row["date"].startswith("2015")]
    assert len(loaded["rows"]) == len(rows) == 1461
    assert len(cleaned["rows"]) + cleaned["dropped"] == 1461
    assert sorted(aggregated["years"]) == ["2012", "2013", "2014", "2015"]
    year = aggregated["years"]["2015"]
    assert year["days"] == len(of_2015) == 365
    assert year["precipitation"] == round(math.fsum(float(row["precipitation"]) for row in of_2015) * 10)
    assert year["temp_max"] == round(max(float(row["temp_max"]) for row in of_2015) * 10)
    assert year["weather"] == dict(Counter(row["weather"] for row in of_2015))
    assert published["arguments"] == [
        "0x" + b"SEATTLE.RAIN.2015".hex().ljust(64, "0"),
        year["precipitation"],
    ]


def test_cleaning_drops_what_cannot_be_and_keeps_one_row_a_day(run):
    good = ["2012-01-02", 109, 106, 28, 45, "rain"]
    rows = [
        good,
        ["2012-01-01", 0, 128, 50, 47, "drizzle"],
        ["2012-01-03", None, 1, 0, 1, "sun"],
        ["2012-01-04", 0, 1, 2, 1, "sun"],
        ["2012-01-05", -1, 2, 1, 1, "sun"],
        good,
    ]
    cleaned = run("pipeline/clean.py", parents={"load": {"columns": [], "rows": rows}})
    assert [row[0] for row in cleaned["rows"]] == ["2012-01-01", "2012-01-02"]
    assert cleaned["dropped"] == 4


def test_the_licence_and_the_provenance_stand_beside_the_data():
    assert "MIT License" in (EXAMPLES / "data" / "LICENSE").read_text()
    readme = (EXAMPLES / "data" / "README.md").read_text()
    assert all(f.name in readme for f in (EXAMPLES / "data").glob("*.csv"))
