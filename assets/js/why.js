// Why a task runs ahead, waits, is held back, was undone or is tried again.
import { h, shown } from "./dom.js";
import { clock, duration, grouped, ms } from "./format.js";
import { facts, keeper, mark, mono, section, time } from "./parts.js";

const units = (amount) => `${grouped(amount)} units`;
const link = (rollback) => h("a", { href: `/rollbacks/${rollback.id}` }, "see the rollback");

/** The decision: its answer, what it stands on, and the ten checks, each with what would flip it. */
export function decisionOf(task, run, decision) {
  const asked = task.speculation;
  if (!asked) return null;
  const steps = new Map(run.tasks.map((other) => [other.id, other.step_key]));
  const commitment = asked.commitment;
  const isCurrent = commitment && commitment.epoch === task.epoch;
  return section("May it run ahead?",
    h("p", {}, mark(asked.verdict), " ", decision?.meaning ?? ""),
    facts(
      ["Unconfirmed depth", String(asked.depth)],
      ["Stands on", isCurrent && commitment.ancestors.length
        ? commitment.ancestors.map((above) => steps.get(above.task) ?? above.task).join(", ") : null],
      ["Bond", isCurrent ? `${units(commitment.bond_units)}, ${shown(commitment.status)}` : null],
      ["Asked", time(asked.decided_at)],
    ),
    decision && h("ul", { class: "checks" }, decision.checks.map((check) => checkItem(check))));
}

const checkItem = (check) => h("li", { class: check.met ? null : "is-unmet" },
  h("b", { "aria-label": check.met ? "met" : "not met" }, check.met ? "✓" : "✕"),
  h("div", {},
    h("strong", {}, check.question), " ", check.seen,
    h("span", { class: "sub" }, `Allowed: ${check.allowed}. ${check.met ? "Would stop it" : "Would let it go on"}: ${check.flips}.`)));

/** The proof's state, and what a finished one waits for. */
export function proof(task, run, words) {
  const made = task.proof;
  if (!made) return null;
  const others = new Map(run.tasks.map((other) => [other.id, other]));
  const open = made.waits_for.filter((id) => others.get(id)?.status !== "confirmed");
  const cost = made.cost;
  return section(made.epoch === task.epoch ? "Proof" : "Proof of an earlier try",
    h("p", {}, mark(made.status, words.proof[made.status]), " ", words.proof[made.status]?.[1] ?? ""),
    made.status === "awaiting_ancestors" && h("p", { class: "deferred" },
      `Deferred: it is submitted once ${listed(open.map((id) => others.get(id)?.step_key ?? id))} ${open.length === 1 ? "is" : "are"} confirmed.`),
    facts(
      ["Circuit", `${made.circuit} steps`],
      ["Asked for", time(made.queued_at)],
      ["Made", made.generated_at && h("span", {}, time(made.generated_at), cost ? ` in ${duration(cost.wall_seconds * 1000)}` : "")],
      ["Held back", made.generated_at && made.submission_started_at
        ? duration(ms(made.submission_started_at) - ms(made.generated_at)) : null],
      ["Tries", made.attempts > 1 ? String(made.attempts) : null],
      ["Trouble", made.reason && mono(made.reason)],
      ["Public input", mono(`${made.public_input.slice(0, 14)}…${made.public_input.slice(-8)}`), made.public_input],
    ));
}

const listed = (names) => (names.length ? names.join(" and ") : "everything it stands on");

/** The rollback that ended the latest attempt, where it has not begun another one. */
export function undoing(task, words) {
  const last = task.attempts.at(-1);
  const hit = last?.rollbacks.at(-1);
  if (!hit || last.epoch !== task.epoch || hit.target !== task.status) return null;
  return h("section", { class: "error" },
    h("h3", {}, hit.is_root ? "The rollback it set off" : "What took it along"),
    h("p", {}, h("strong", {}, hit.is_root ? "It" : hit.root), hit.reason === "manual" ? " was stopped: " : " failed: ",
      words.reason[hit.reason]?.[0] ?? hit.reason, "."),
    facts(
      ["Bond", bondOf(hit)],
      ["Compute wasted", hit.wasted_units === "0" ? null : units(hit.wasted_units)],
      ["At", time(hit.at)],
    ),
    h("p", {}, link(hit)));
}

function bondOf(hit) {
  const parts = [];
  if (hit.slashed_units !== "0") parts.push(`${units(hit.slashed_units)} slashed`);
  if (hit.released_units !== "0") parts.push(`${units(hit.released_units)} back`);
  return parts.length ? parts.join(", ") : null;
}

/** Every attempt of a task that was tried more than once, or whose only one was undone and is opened again. */
export function attempts(task, words) {
  const isAgain = task.attempts.length > 1 || task.attempts.some((attempt) => attempt.rollbacks.length && attempt.epoch < task.epoch);
  if (!isAgain) return null;
  return section("Tries", h("ol", { class: "tries" }, task.attempts.map((attempt) => {
    const hit = attempt.rollbacks.at(-1);
    const bond = attempt.commitment;
    return h("li", {},
      h("span", {}, attempt.keeper ? keeper(attempt.keeper) : "no keeper yet", " ",
        mark(hit?.target ?? attempt.lease ?? "waiting"), attempt.is_ahead ? " ran ahead" : ""),
      attempt.began_at && h("span", { class: "quiet num" }, `${clock(attempt.began_at)}${hit ? ` to ${clock(hit.at)}` : ""}`),
      attempt.failure && h("span", {}, `${words.reason[attempt.failure.reason]?.[0] ?? attempt.failure.reason} `, mono(attempt.failure.code)),
      bond && h("span", { class: "quiet" }, `bond of ${units(bond.bond_units)}: ${words.commitment[bond.status]?.[1] ?? bond.status}`),
      hit && h("span", {}, hit.is_root ? "" : `taken along by ${hit.root}; `, link(hit)));
  })));
}
