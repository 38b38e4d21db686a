// Everything about one task: who did it, who checked it, what it cost, where it is on the chain, what went wrong.
import { h, s, shown } from "./dom.js";
import { bytes, clock, duration, grouped, ms, short } from "./format.js";
import { facts, heading, keeper, mark, mono, section, time } from "./parts.js";
import { segments } from "./state.js";
import { attempts, decisionOf, proof, undoing } from "./why.js";

/** `decision` is the task's latest one with its ten checks, null where it is not known yet. */
export function drawPanel(container, task, run, words, decision) {
  const parts = [
    heading(task, words), failure(task, words), undoing(task, words), waitingFor(task, run), decisionOf(task, run, decision),
    proof(task, run, words), attempts(task, words), performer(task), committee(task), settlement(task), measures(task),
    content(task), times(task),
  ];
  const isSame = container.dataset.task === task.id;
  const top = container.scrollTop;
  container.dataset.task = task.id;
  container.replaceChildren(...parts.filter(Boolean));
  container.scrollTop = isSame ? top : 0;
}

function failure(task, words) {
  if (!task.error) return null;
  const said = words.errors[task.error.code];
  return h("section", { class: "error" },
    h("h3", {}, "What went wrong"),
    h("p", {}, h("strong", {}, said ? said[0] : `The task ended with “${shown(task.error.code)}”.`)),
    said && h("p", {}, said[1]),
    h("p", {}, mono(task.error.code)),
    task.error.detail && h("pre", {}, task.error.detail));
}

function waitingFor(task, run) {
  if (task.status !== "waiting" && task.status !== "discovered") return null;
  const byStep = new Map(run.tasks.map((other) => [other.step_key, other]));
  const open = task.parents.filter((parent) => byStep.get(parent.step)?.status !== "confirmed");
  if (!open.length) return null;
  return section("Waits for", h("ul", {}, open.map((parent) =>
    h("li", {}, `${parent.step} (${parent.kind}), now ${shown(byStep.get(parent.step)?.status ?? "unknown")}`))));
}

function performer(task) {
  if (!task.assignments.length) return null;
  const latest = task.assignments.at(-1);
  return section("Performer",
    facts(
      ["Keeper", keeper(latest.keeper)],
      ["Lease", h("span", {}, mark(latest.status), ` epoch ${latest.epoch}`)],
      ["Offered", time(latest.offered_at)],
      latest.acknowledged_at && ["Acknowledged", time(latest.acknowledged_at)],
      latest.ended_at && ["Ended", h("span", {}, time(latest.ended_at), latest.end_reason && ` (${shown(latest.end_reason)})`)],
    ),
    scoreCard(latest.score_card));
}

function scoreCard(card) {
  const parts = Object.entries(card?.parts ?? {});
  if (!parts.length) return null;
  const share = (millionths) => (Number(millionths) / 1e6).toFixed(3);
  const rival = card.runner_up;
  return h("div", {},
    h("div", { class: "score", role: "group", "aria-label": "Score card of the chosen keeper" }, parts.map(([name, value]) => [
      h("span", {}, name), meter(value / 1e6), h("span", { class: "num" }, share(value)),
    ])),
    h("p", { class: "quiet" },
      `Score ${share(card.score)}, the best of ${card.candidates}`,
      rival ? [", then ", keeper(rival.keeper), ` with ${share(rival.score)}`] : null, "."));
}

const meter = (value) => s("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
  s("rect", { class: "rail", width: 100, height: 8 }),
  s("rect", { class: "fill", width: Math.max(0, Math.min(1, value)) * 100, height: 8 }));

function committee(task) {
  const checked = task.attestation;
  if (!checked) return null;
  const cast = new Map(checked.votes.map((vote) => [vote.attester, vote]));
  return section("Committee",
    facts(
      ["Verdict", mark(checked.verdict)],
      ["Votes", `${checked.positive} for, ${checked.negative} against; ${checked.required} needed of ${checked.committee.length}`],
      ["Round", h("span", {}, `${checked.number} `, mono(short(checked.round, 10, 6)))],
    ),
    h("ul", {}, checked.committee.map((address) => {
      const vote = cast.get(address);
      const said = !vote ? "… not yet" : vote.positive ? "✓ agrees" : `✕ ${vote.reason.replaceAll("_", " ") || "disagrees"}`;
      return h("li", {}, keeper(address), " ", said);
    })));
}

function settlement(task) {
  const settled = task.settlement;
  if (!settled) return null;
  return section("On the chain",
    facts(
      ["State", mark(settled.status)],
      ["Transaction", settled.tx_hash && mono(settled.tx_hash)],
      ["Block", settled.block_number === null ? null : grouped(settled.block_number)],
      ["Block hash", settled.block_hash && mono(short(settled.block_hash, 12, 8)), settled.block_hash],
      ["Proof of task", mono(short(settled.proof_of_task, 12, 8)), settled.proof_of_task],
      ["Confirmed", settled.confirmed_at && time(settled.confirmed_at)],
      ["Gas cost", `${grouped(settled.gas_units)} units`],
      ["Fee", `${grouped(settled.fee_units)} units`],
    ));
}

function measures(task) {
  const taken = task.measures;
  if (!taken) return null;
  return section("Measured",
    facts(
      ["CPU", taken.cpu_ms === null ? null : duration(taken.cpu_ms)],
      ["Wall clock", taken.wall_ms === null ? null : duration(taken.wall_ms)],
      ["Peak memory", taken.peak_memory_bytes === null ? null : bytes(taken.peak_memory_bytes)],
      ["Compute", taken.compute_units === null ? null : `${grouped(taken.compute_units)} units`],
      ["Gas of the call", taken.gas_used ? grouped(taken.gas_used) : null],
    ));
}

function content(task) {
  if (!task.output_cid && !task.package_cid) return null;
  return section("Content",
    facts(
      ["Output", task.output_cid && h("a", { href: `/api/v1/tasks/${task.id}/output` }, mono(task.output_cid))],
      ["Package", task.package_cid && h("a", { href: `/api/v1/tasks/${task.id}/package` }, mono(task.package_cid))],
    ));
}

function times(task) {
  const parts = segments(task);
  if (!parts.length) return null;
  return section("Stages",
    facts(...parts.map((part) => [
      shown(part.status),
      h("span", { class: "num" }, clock(new Date(part.start).toISOString()),
        part.end !== null && part.end > part.start ? ` for ${duration(part.end - part.start)}` : ""),
    ])),
    h("p", { class: "quiet" }, `Times are UTC; began ${new Date(ms(task.timeline[parts[0].status])).toISOString().slice(0, 10)}.`));
}
