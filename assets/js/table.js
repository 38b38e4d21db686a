// Keeps the server's own table and head in step with the state.
import { setText, shown } from "./dom.js";
import { clock, duration, grouped, hits, ms, saved, short } from "./format.js";
import { isSpeculative } from "./state.js";

function showBadge(element, status, word) {
  if (!element || element.textContent === shown(status)) return;
  element.textContent = shown(status);
  element.className = element.className.replace(/\bis-[\w-]+/, `is-${status}`);
  element.dataset.symbol = word?.[0] ?? "•";
  if (word) element.title = word[1];
}

export function updateRow(task, words) {
  const row = document.getElementById(`row-${task.id}`);
  if (!row) return;
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  showBadge(field("status"), task.status, words.task[task.status]);
  setText(field("ahead"), isSpeculative(task) ? `runs ahead, depth ${task.depth}` : "");
  const performer = field("performer");
  if (performer) {
    setText(performer, short(task.performer, 8, 6));
    performer.title = task.performer ?? "";
  }
  performer?.closest("td").classList.toggle("blank", !task.performer);
  for (const name of ["scheduled", "executed", "attested", "confirmed"]) {
    setText(field(name), task.timeline?.[name] ? clock(task.timeline[name]) : "");
    field(name)?.closest("td").classList.toggle("blank", !task.timeline?.[name]);
  }
  const said = task.error && words.errors[task.error.code];
  field("error")?.classList.toggle("trouble", task.status === "failed");
  setText(field("error"), task.error ? said?.[0] ?? shown(task.error.code) : "");
  if (task.settlement?.block_number) setText(field("block"), String(task.settlement.block_number));
}

export function updateHead(state, words, now) {
  const { run } = state;
  showBadge(document.getElementById("run-status"), run.status, words.run[run.status]);
  setText(document.getElementById("confirmed"), `${state.confirmed} of ${state.list.length}`);
  setText(document.getElementById("spent"), grouped(run.spent_units));
  const figures = run.speculation;
  setText(document.getElementById("saved"), saved(figures));
  setText(document.getElementById("hits"), hits(figures));
  setText(document.getElementById("wasted"), grouped(figures.wasted_units));
  setText(document.getElementById("at-risk"), grouped(figures.at_risk_units));
  setText(document.getElementById("slashed"), grouped(figures.slashed_units));
  const from = ms(run.opened_at);
  const until = run.finished_at ? ms(run.finished_at) : now;
  setText(document.getElementById("took"), duration(until - from));
  for (const element of document.querySelectorAll("[data-when-open], .notice.when-open")) element.hidden = !state.isOpen;
}
