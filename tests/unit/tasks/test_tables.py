"""Every transition table of the pipeline, exhaustively (invariant 13).

The moves are written down a second time, as text: whoever changes a table says so here too.
"""

from itertools import product
from typing import Any

import networkx as nx
import pytest

from apps.attestation.data import ROUND_TABLE, RoundStatus
from apps.execution.data import ASSIGNMENT_TABLE, AssignmentStatus
from apps.execution.models import OPEN_STATUSES
from apps.kernel.transitions import IllegalTransition
from apps.settlement.data import BATCH_TABLE, SETTLEMENT_TABLE, BatchStatus, SettlementStatus
from apps.tasks.data import REOPENABLE, RUN_TABLE, TASK_TABLE, UNFINISHED, RunStatus, TaskStatus

#: table, statuses, moves with the first status first
TABLES: list[Any] = [
    (
        TASK_TABLE,
        TaskStatus,
        {
            "discovered": "waiting scheduled cancelled failed",
            "waiting": "scheduled cancelled failed",
            "scheduled": "executing executed waiting failed cancelled",
            "executing": "executed waiting failed aborted",
            "executed": "attested failed rolled_back",
            "attested": "proving proved waiting_ancestors submitted failed rolled_back",
            "proving": "proved failed rolled_back",
            "proved": "waiting_ancestors submitted failed rolled_back",
            "waiting_ancestors": "submitted failed rolled_back",
            "submitted": "confirmed executed failed rolled_back",
        },
    ),
    (RUN_TABLE, RunStatus, {"open": "confirmed failed cancelled"}),
    (
        ASSIGNMENT_TABLE,
        AssignmentStatus,
        {
            "offered": "acknowledged returned failed expired revoked",
            "acknowledged": "returned failed expired revoked",
        },
    ),
    (ROUND_TABLE, RoundStatus, {"open": "unanimous split expired"}),
    (BATCH_TABLE, BatchStatus, {"submitted": "confirmed failed"}),
    (SETTLEMENT_TABLE, SettlementStatus, {"submitted": "settled void"}),
]
each_table = pytest.mark.parametrize(("table", "statuses", "moves"), TABLES, ids=[t[0].name for t in TABLES])
each_pair = pytest.mark.parametrize(
    ("table", "current", "target", "is_listed"),
    [
        (table, current, target, target in moves.get(current, "").split())
        for table, statuses, moves in TABLES
        for current, target in product(statuses, repeat=2)
    ],
)


@each_pair
def test_a_move_is_made_where_it_is_listed_and_refused_by_name_where_it_is_not(
    table, current, target, is_listed
):
    assert table.is_legal(current, target) is is_listed
    if is_listed:
        assert table.move(id="1", current=current, target=target) is target
        return
    with pytest.raises(IllegalTransition) as refusal:
        table.move(id="row_1", current=current, target=target)
    assert refusal.value.fields == {
        "machine": table.name,
        "id": "row_1",
        "current": str(current),
        "target": str(target),
    }


@each_table
def test_an_ending_has_no_row_and_everything_else_can_reach_one(table, statuses, moves):
    graph = nx.DiGraph([(current, target) for current in moves for target in moves[current].split()])
    endings = {status for status in statuses if table.is_ending(status)}
    assert endings == set(statuses) - set(table.moves) == set(statuses) - set(moves)
    for status in moves:
        assert nx.descendants(graph, status) & endings


@each_table
def test_every_status_can_be_reached_from_the_first(table, statuses, moves):
    graph = nx.DiGraph([(current, target) for current in moves for target in moves[current].split()])
    first = next(iter(moves))
    assert nx.descendants(graph, first) | {first} == set(statuses)


@each_table
def test_no_status_moves_to_itself(table, statuses, moves):
    assert not [status for status in statuses if table.is_legal(status, status)]


def test_an_attempt_only_goes_back_to_be_admitted_or_attested_again():
    """Whatever goes back is bounded by a counter or a delay; a failed one goes on as another attempt."""
    order = list(TaskStatus)
    back = {
        (current, target)
        for current, targets in TASK_TABLE.moves.items()
        for target in targets
        if order.index(target) < order.index(current)
    }
    assert back == {
        (TaskStatus.SCHEDULED, TaskStatus.WAITING),
        (TaskStatus.EXECUTING, TaskStatus.WAITING),
        (TaskStatus.SUBMITTED, TaskStatus.EXECUTED),
    }


def test_what_is_unfinished_and_what_is_open_is_what_the_tables_say():
    assert set(TASK_TABLE.moves) == UNFINISHED
    assert set(TaskStatus) - UNFINISHED - {TaskStatus.CONFIRMED} == REOPENABLE
    assert set(ASSIGNMENT_TABLE.moves) == set(OPEN_STATUSES)
