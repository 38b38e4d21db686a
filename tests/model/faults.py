"""Seeded faults: one wrong line of a rule each, and the test that must notice it. `mutants.py` tries them."""

from dataclasses import dataclass
from typing import Final

_CASCADE: Final = "apps/rollback/domain/cascade.py"
_RECOVERY: Final = "apps/rollback/domain/recovery.py"
_PHASES: Final = "apps/rollback/domain/phases.py"
_BONDS: Final = "apps/speculation/domain/bonds.py"
_CHECKS: Final = "apps/speculation/domain/checks.py"
_COMMITMENTS: Final = "apps/speculation/domain/commitments.py"
_GRAPH: Final = "apps/speculation/domain/graph.py"
_EXPLORER: Final = (
    "tests/model/test_explorer.py::test_the_small_model_keeps_every_invariant_in_all_its_states"
)
_UNIT: Final = "tests/unit/speculation"
_ROLLBACK: Final = "tests/unit/rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A fault: the text it replaces, once, and the test that kills it."""

    name: str
    file: str
    old: str
    new: str
    killer: str


MUTANTS: Final = (
    Mutant(
        name="fence: a failure of an earlier attempt is heard",
        file=_PHASES,
        old="signal.epoch == own.epoch and ",
        new="",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="fence: a receipt of an earlier epoch is taken",
        file="apps/execution/domain/receipt.py",
        old="if epoch != held.task_epoch:",
        new="if epoch > held.task_epoch:",
        killer="tests/unit/execution/test_receipt.py::test_a_claim_that_does_not_hold_is_refused_with_its_reason",
    ),
    Mutant(
        name="fence: a lease that is over may be answered",
        file="apps/execution/domain/receipt.py",
        old="if ASSIGNMENT_TABLE.is_ending(held.status):",
        new="if held.status is AssignmentStatus.RETURNED:",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="fence: any keeper fulfils a commitment",
        file=_COMMITMENTS,
        old="if keeper != commitment.producer:",
        new="if not keeper:",
        killer=f"{_UNIT}/test_commitments.py::test_only_its_producer_fulfils_a_commitment",
    ),
    Mutant(
        name="fence: a result of another attempt fulfils a commitment",
        file=_COMMITMENTS,
        old="if epoch != commitment.epoch:",
        new="if epoch > commitment.epoch:",
        killer=f"{_UNIT}/test_commitments.py::test_a_word_about_another_attempt_is_refused",
    ),
    Mutant(
        name="lineage: a result may stand on a parent that has no output",
        file="apps/speculation/domain/lineage.py",
        old=" or not known.output_hash:",
        new=":",
        killer=f"{_UNIT}/test_lineage.py::test_a_result_made_from_anything_else_is_refused",
    ),
    Mutant(
        name="order: submitted as soon as one ancestor is confirmed",
        file="apps/speculation/domain/lineage.py",
        old="return all(standing is Standing.CONFIRMED for standing in ancestors)",
        new="above = list(ancestors)\n    return not above or Standing.CONFIRMED in above",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="order: a cascade starts at its root",
        file=_GRAPH,
        old="return self.get_order(nodes)[::-1]",
        new="return self.get_order(nodes)",
        killer=f"{_UNIT}/test_graph.py::test_a_diamond_knows_its_orders_depths_ancestors_and_descendants",
    ),
    Mutant(
        name="order: the graph moves only one side of a new edge",
        file=_GRAPH,
        old="if above not in found and self._order[above] > bound:",
        new="if above not in found and self._order[above] > bound and not found:",
        killer=f"{_UNIT}/test_graph.py::test_every_edit_gives_what_networkx_says",
    ),
    Mutant(
        name="depth: confirmed ancestors count",
        file=_GRAPH,
        old="above = self._depths[parent] + (parent not in self._confirmed)",
        new="above = self._depths[parent] + 1",
        killer=f"{_UNIT}/test_graph.py::test_confirmed_ancestors_do_not_count_for_depth",
    ),
    Mutant(
        name="cascade: only the children are undone",
        file=_CASCADE,
        old="below = graph.get_leaves_first(graph.get_descendants([root]))",
        new="below = graph.get_leaves_first(graph.get_children(root))",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="cascade: what has not started is left alone",
        file=_CASCADE,
        old="if STANDINGS[states[task].status] in TARGETS]",
        new="if STANDINGS[states[task].status] in {*TARGETS} - {Standing.PENDING}]",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="cascade: a confirmed descendant is undone",
        file=_CASCADE,
        old="    Standing.PRODUCED: Target.ROLLED_BACK,\n",
        new="    Standing.PRODUCED: Target.ROLLED_BACK,\n    Standing.CONFIRMED: Target.ROLLED_BACK,\n",
        killer=f"{_ROLLBACK}/test_cascade.py::test_a_descendant_that_has_ended_stays_as_it_is",
    ),
    Mutant(
        name="cascade: a root that has ended is undone again",
        file=_CASCADE,
        old="    if standing is Standing.DEAD:\n",
        new="    if own.status == 'cancelled':\n",
        killer=f"{_ROLLBACK}/test_cascade.py::test_a_root_that_has_ended_gives_an_empty_plan",
    ),
    Mutant(
        name="cascade: an executing descendant is called rolled back",
        file=_CASCADE,
        old="Standing.EXECUTING: Target.ABORTED",
        new="Standing.EXECUTING: Target.ROLLED_BACK",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="cascade: of two failures the lower one is planned first",
        file=_CASCADE,
        old="for root in graph.get_order(failures):",
        new="for root in graph.get_leaves_first(failures):",
        killer=f"{_ROLLBACK}/test_cascade.py"
        "::test_of_two_failures_at_once_the_upper_one_is_the_root_and_the_lower_one_is_not_slashed",
    ),
    Mutant(
        name="slash: descendants are slashed too",
        file=_CASCADE,
        old="return _build_change(state, TARGETS[STANDINGS[state.status]], wasted_units=state.compute_units)",
        new="return _build_change(state, TARGETS[STANDINGS[state.status]], wasted_units=state.compute_units,"
        " slashed_units=state.bond_units // 10)",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="slash: the treasury takes the larger half",
        file=_BONDS,
        old="treasury_units = slashed_units // 2",
        new="treasury_units = (slashed_units + 1) // 2",
        killer=f"{_UNIT}/test_bonds.py"
        "::test_the_treasury_takes_the_smaller_half_and_the_remainder_goes_by_fraction_then_keeper",
    ),
    Mutant(
        name="slash: the slashed keeper is a victim of itself",
        file=_BONDS,
        old=" and keeper != slashed_keeper}",
        new="}",
        killer=f"{_UNIT}/test_bonds.py::test_without_a_victim_all_of_it_is_the_treasurys",
    ),
    Mutant(
        name="slash: a stop by hand is a fault",
        file=_CASCADE,
        old="frozenset({FailureReason.MANUAL, FailureReason.ANCESTOR_FAILED})",
        new="frozenset({FailureReason.ANCESTOR_FAILED})",
        killer=f"{_ROLLBACK}/test_cascade.py::test_a_person_stops_a_task_without_a_fault_or_a_slash",
    ),
    Mutant(
        name="bond: it grows one level late",
        file=_BONDS,
        old="terms.growth_percent**depth // 100**depth",
        new="terms.growth_percent**max(depth - 1, 0) // 100**max(depth - 1, 0)",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="bond: release and slash are two endings",
        file="apps/speculation/domain/postings.py",
        old="        kind=TransactionKind.BOND_SLASH,\n        reference=reference,",
        new='        kind=TransactionKind.BOND_SLASH,\n        reference=reference + ":slash",',
        killer=f"{_UNIT}/test_postings.py::test_a_bond_ends_once_whatever_the_end",
    ),
    Mutant(
        name="decision: one level deeper than the limit",
        file=_CHECKS,
        old="is_met=excess <= 0,",
        new="is_met=excess <= 1,",
        killer=f"{_EXPLORER}[a chain too deep for its limit]",
    ),
    Mutant(
        name="decision: one branch more than the limit",
        file=_CHECKS,
        old="is_met=count < most,",
        new="is_met=count <= most,",
        killer=f"{_EXPLORER}[a fan wider than its limit]",
    ),
    Mutant(
        name="decision: a dead ancestor is no hindrance",
        file=_CHECKS,
        old="if standing not in UNDER_WAY)",
        new="if standing not in UNDER_WAY and standing is not Standing.DEAD)",
        killer=f"{_UNIT}/test_decision.py"
        "::test_each_check_refuses_by_itself_and_says_what_would_turn_it_round",
    ),
    Mutant(
        name="decision: a lease may end with the buffer",
        file=_CHECKS,
        old="is_met = left is not None and left > buffer",
        new="is_met = left is not None and left >= buffer",
        killer=f"{_UNIT}/test_decision.py::test_the_lease_must_leave_more_than_the_buffer",
    ),
    Mutant(
        name="decision: the cap on stake at risk leaves out the new bond",
        file=_CHECKS,
        old="at_risk_units = case.around.at_risk_units + bond_units",
        new="at_risk_units = case.around.at_risk_units",
        killer=f"{_EXPLORER}[a join under a cap]",
    ),
    Mutant(
        name="decision: the last refusal is the answer",
        file="apps/speculation/domain/decision.py",
        old="for finding in findings if not finding.is_met), None)",
        new="for finding in reversed(findings) if not finding.is_met), None)",
        killer=f"{_UNIT}/test_decision.py::test_the_first_refusal_is_the_answer_whatever_else_is_refused",
    ),
    Mutant(
        name="frontier: a keeper's stake is spent twice",
        file="apps/speculation/domain/frontier.py",
        old="free[claim.keeper] -= decision.bond_units",
        new="pass",
        killer=f"{_UNIT}/test_frontier.py::test_a_keepers_stake_is_spent_once",
    ),
    Mutant(
        name="breaker: it opens at the rate, not above it",
        file="apps/speculation/domain/breaker.py",
        old="outcomes.undone * 100 > terms",
        new="outcomes.undone * 100 >= terms",
        killer=f"{_UNIT}/test_breaker.py::test_it_opens_above_the_rate_and_not_at_it",
    ),
    Mutant(
        name="retry: a task is tried again under a dead ancestor",
        file=_RECOVERY,
        old="    if _has_dead_parent(graph, states, root, opened=()):\n",
        new="    if not own.epoch and _has_dead_parent(graph, states, root, opened=()):\n",
        killer=f"{_EXPLORER}[a chain of three]",
    ),
    Mutant(
        name="retry: what stands on another dead task comes back",
        file=_RECOVERY,
        old="if is_taken_along and not _has_dead_parent(graph, states, task, opened=opened):",
        new="if is_taken_along:",
        killer=f"{_EXPLORER}[a join under a cap]",
    ),
    Mutant(
        name="retry: one attempt more than the terms",
        file=_RECOVERY,
        old="if failed_attempts >= terms.max_attempts:",
        new="if failed_attempts > terms.max_attempts:",
        killer=f"{_ROLLBACK}/test_recovery.py"
        "::test_after_the_last_attempt_it_is_given_up_with_everything_below",
    ),
    Mutant(
        name="phases: a plan is applied twice",
        file=_PHASES,
        old="    if STEPS[rollback.phase] is not Step.APPLY:\n        return ()\n",
        new="    if rollback.phase not in _APPLYING:\n"
        "        rollback = replace(rollback, phase=_P.DETECTING)\n",
        killer=f"{_ROLLBACK}/test_phases.py::test_a_plan_is_never_applied_twice",
    ),
    Mutant(
        name="chains: a join travels with its first parent",
        file="apps/speculation/domain/chains.py",
        old="if len(waits[task]) == 1 and waits[task][0] in chosen:",
        new="if waits[task] and waits[task][0] in chosen:",
        killer=f"{_UNIT}/test_chains.py::test_every_admitted_task_travels_exactly_once_and_in_order",
    ),
    Mutant(
        name="quorum: two thirds rounded down",
        file="apps/attestation/domain/committee.py",
        old="return (2 * committee_size + 2) // 3",
        new="return 2 * committee_size // 3",
        killer="tests/unit/attestation/test_quorum.py::test_the_quorum_is_two_thirds_rounded_up",
    ),
    Mutant(
        name="quorum: silence counts against",
        file="apps/attestation/domain/quorum.py",
        old="if len(votes) - positive >= required:",
        new="if len(votes) - positive >= required - 1:",
        killer="tests/unit/attestation/test_quorum.py"
        "::test_an_item_is_never_both_valid_and_invalid_and_needs_a_quorum_for_either",
    ),
)
