"""What statuses and errors mean, in words a person who wrote a job understands."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from apps.kernel.speculation import MODE_LIMITS, Choice
from apps.progress.domain.ahead_words import COMMITMENT_WORDS, PROOF_WORDS, REASON_WORDS

#: task status → (symbol, what it means); the symbol and the word carry the state where colour does not
TASK_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "discovered": ("○", "opened with its run; nothing decided yet"),
        "waiting": ("◔", "may not start yet; its decision says what holds it back"),
        "scheduled": ("◑", "a keeper has been chosen and offered the work"),
        "executing": ("▶", "the keeper is working on it"),
        "executed": ("◕", "the keeper returned a signed result; a committee re-checks it"),
        "attested": ("◈", "a quorum of the committee got the same result"),
        "proving": ("∴", "the proof of its result is being made"),
        "proved": ("∎", "its proof is made and verified"),
        "waiting_ancestors": ("‖", "ready to settle as soon as everything it stands on is confirmed"),
        "submitted": ("⇡", "its settlement is on its way to the chain"),
        "confirmed": ("✓", "settled on the chain and deep enough to be final"),
        "failed": ("✕", "failed, and nothing brings it back by itself; the reason is below"),
        "rolled_back": ("↺", "had a result that counts no more: something it stood on failed or was stopped"),
        "cancelled": ("⊘", "was taken back before it started"),
        "aborted": ("⊗", "was stopped while it was executing"),
    }
)

#: run status → (symbol, what it means)
RUN_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "open": ("▶", "at least one step is not finished"),
        "confirmed": ("✓", "every step is settled on the chain"),
        "failed": ("✕", "a step failed and nothing is left to do"),
        "cancelled": ("⊘", "stopped by a person"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One error: what happened, and what to do about it."""

    happened: str
    advice: str


_DETERMINISM: Final = "A script must print the same for the same input: no clock, no chance, no set order."
_OWN_RULES: Final = "The reason is in the detail. Check the arguments and the contract's own rules."
_KEEPERS: Final = "See on the Keepers page whether any are online and able to run it."
_UPLOAD: Final = "Upload the content again; the same bytes have the same CID."
_PROVER: Final = "The step is tried again by itself; an operator finds more in the prover's log."
_NOT_YOURS: Final = "This is not the job's fault: give the trace id to an operator."

_ERRORS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "script_failed": (
            "The script ended with an error.",
            "The last lines it wrote are in the detail. Run it locally with the same JSON on its input.",
        ),
        "script_timeout": (
            "The script ran past its deadline and was stopped.",
            "Make it faster, or raise `limits.deadline_seconds` (at most 60).",
        ),
        "script_memory": (
            "The script used more memory than it was given and was stopped.",
            "Read the input in pieces, or raise `limits.memory_mb` (at most 512).",
        ),
        "script_output_too_large": (
            "The script printed more than it may.",
            "Print one JSON document of at most 1 MiB; put large data into content and print its CID.",
        ),
        "script_not_json": (
            "What the script printed is not one JSON document.",
            "Print exactly one JSON document on standard output; write notes to standard error.",
        ),
        "script_output_not_object": (
            "The script printed JSON, but not an object.",
            'Print one JSON object, such as {} or {"arguments": […]}.',
        ),
        "script_output_not_canonical": (
            "The script printed JSON that has no one form for everybody.",
            "Keep numbers finite and whole numbers below 2^53; print larger ones as text.",
        ),
        "script_too_large": ("The script is larger than allowed.", "Keep it small; put data into inputs."),
        "inputs_too_large": ("The task's inputs are larger than allowed.", "Split them over several steps."),
        "script_missing": ("The script could not be found under its CID.", _UPLOAD),
        "input_missing": ("An input could not be found under its CID.", _UPLOAD),
        "parent_output_missing": ("The output of a step before could not be found.", _NOT_YOURS),
        "parent_output_invalid": ("The output of a step before cannot be read.", _NOT_YOURS),
        "script_killed": (
            "The script crashed, or was stopped for something it may not do.",
            "Scripts have no network, start no processes and write nowhere but their scratch folder.",
        ),
        "aborted": ("The script was stopped because its task had ended.", "Nothing to do."),
        "content_missing": (
            "A script or an input could not be found under its CID.",
            _UPLOAD,
        ),
        "content_tampered": (
            "Stored content does not match its CID; the damaged copy was refused, not used.",
            _UPLOAD,
        ),
        "content_too_large": (
            "A script, an input or the output is larger than allowed.",
            "Split it, or keep what is not needed out of it.",
        ),
        "parameters_invalid": (
            "The keeper cannot carry out the task as it is specified.",
            "The detail says which part. Change the job and run it again.",
        ),
        "action_arguments_missing": (
            "The script should have printed the call's arguments and did not.",
            'Print {"arguments": […]} with one value for each parameter of the function.',
        ),
        "action_arguments_invalid": (
            "The arguments do not fit the function they should be passed to.",
            "Compare the printed `arguments` with the types in the job's `action`.",
        ),
        "action_abi_invalid": (
            "The job's action describes no function that can be called.",
            "Correct the job's `action`; the detail says what is wrong.",
        ),
        "action_calldata_invalid": (
            "The call data the script printed is not a call of the job's function.",
            "Print `arguments` instead and let the keeper encode them.",
        ),
        "action_decision_invalid": (
            "The script's decision is neither yes nor no.",
            "Print `should_execute` as true or false.",
        ),
        "action_invalid": (
            "The hub could not carry out this action.",
            "Correct the job's `action`; the detail says what is wrong.",
        ),
        "cid_invalid": ("The keeper named its output by something that is no CID.", _NOT_YOURS),
        "parent_receipt_missing": (
            "The keeper did not get the result of a step before in time.",
            "The step is tried again by itself. If it happens often, see whether the keepers are online.",
        ),
        "parent_receipt_forged": (
            "The keeper was handed a result of a step before that its keeper had not signed.",
            _NOT_YOURS,
        ),
        "lineage_broken": (
            "The result was made of something else than the recorded results of the steps before.",
            "It happens when a step before was tried again meanwhile; the step is tried again by itself.",
        ),
        "statement_impossible": (
            "No statement that could be proved can be made of this result.",
            "Read fewer inputs and parents in one step; the detail says what did not fit.",
        ),
        "proof_rejected": ("The hub's verifier refused the proof.", _PROVER),
        "proof_generation_failed": ("The prover could make no proof of the result.", _PROVER),
        "proof_generation_timeout": (
            "The proof was not made in time.",
            "Give the prover more processes (`FOREKEEP_PROOFS_GENERATIONS`) or more time "
            "(`FOREKEEP_PROOFS_GENERATION_SECONDS`).",
        ),
        "proof_generation_cancelled": ("The proof was cancelled while it was made.", "Nothing to do."),
        "public_input_differs": ("The prover's proof is of another statement than the result's.", _PROVER),
        "witness_invalid": ("The result does not satisfy what is to be proved of it.", _PROVER),
        "trace_too_long": (
            "The step reads more than the largest circuit takes.",
            "Split it, or let it read fewer inputs and parents.",
        ),
        "prover_unavailable": ("The prover could not be reached in time.", _PROVER),
        "proving_key_missing": ("The prover has no key for the circuit that was asked for.", _PROVER),
        "proving_key_corrupt": ("The prover's key for the circuit cannot be used.", _PROVER),
        "ancestors_timeout": (
            "What the step stands on was not confirmed while its finished proof waited.",
            "See what holds the steps before back; the patience is `FOREKEEP_PROOFS_ANCESTORS_SECONDS`.",
        ),
        "proof_submission_timeout": (
            "The finished proof was not sent to the chain in time.",
            "See whether the chain takes transactions, and how many wait to be sent.",
        ),
        "action_reverted": ("The target contract refused the call.", _OWN_RULES),
        "action_reverts": ("The target contract would refuse the call, so it was not sent.", _OWN_RULES),
        "receipt_invalid": ("The keeper's signed result contradicts itself or the task.", _NOT_YOURS),
        "output_hash_mismatch": ("The keeper's output is not the one it signed for.", _NOT_YOURS),
        "no_quorum": ("The committee agreed neither on the result nor against it, twice.", _DETERMINISM),
        "attestation_invalid": ("A quorum of the committee got another result.", _DETERMINISM),
        "not_acknowledged": ("No keeper took the work up in time.", _KEEPERS),
        "lease_expired": ("The keepers that took the work up did not return it in time.", _KEEPERS),
        "ancestor_failed": (
            "A step this one depends on failed and took it along.",
            "Look at that step: its own error says why. It comes back with that step.",
        ),
        "cancelled": ("A person stopped it.", "Run the job again if you need its result."),
        "refused": ("The hub refused the settlement, however often it was sent.", _NOT_YOURS),
    }
)


def explain(code: str) -> Explanation | None:
    """The words for an error code; None where there is no error, a general sentence for an unknown one."""
    if not code:
        return None
    happened, advice = _ERRORS.get(
        code,
        (
            f"The task ended with “{code.replace('_', ' ')}”.",
            "The detail says more; the trace id leads to every log line about it.",
        ),
    )
    return Explanation(happened=happened, advice=advice)


def dictionary() -> dict[str, Mapping[str, tuple[str, str]]]:
    """All words as data, for the page's scripts: `task`, `run`, `errors`, `proof`, `commitment`, `reason`."""
    return {
        "task": dict(TASK_WORDS),
        "run": dict(RUN_WORDS),
        "errors": dict(_ERRORS),
        "proof": dict(PROOF_WORDS),
        "commitment": dict(COMMITMENT_WORDS),
        "reason": {reason: (words, "") for reason, words in REASON_WORDS.items()},
    }


def describe_schedule(schedule: Mapping[str, Any] | None) -> str:
    """A job's schedule in a few words."""
    if schedule is None:
        return "by hand"
    if schedule["kind"] == "interval":
        return f"every {describe_seconds(schedule['seconds'])}"
    if schedule["kind"] == "cron":
        return f"cron {schedule['expression']} ({schedule.get('zone') or 'UTC'})"
    count = len(schedule["instants"])
    return f"at {count} given time{'' if count == 1 else 's'}"


def describe_speculation(*, job: Choice, project: Choice) -> str:
    """How far a job may run ahead, as far as it and its project say, in a few words."""
    if job.is_enabled is False:
        return "off"
    if project.is_enabled is False:
        return "off, for the whole project"
    said, who = (project, ", as the project says") if job.mode is None else (job, "")
    if said.mode is None:
        return "as the network says"
    depth, branches = MODE_LIMITS.get(said.mode) or (said.max_depth, said.max_branches)
    return f"{said.mode}: {depth} deep, {branches} wide{who}"


def describe_seconds(seconds: int) -> str:
    """A whole number of the largest unit that fits: `90 s`, `5 min`, `2 h`, `1 day`."""
    for size, one, many in ((86_400, "day", "days"), (3_600, "h", "h"), (60, "min", "min")):
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size} {one if seconds == size else many}"
    return f"{seconds} s"
