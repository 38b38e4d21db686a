// Keeps the server's own table and head in step with the state.
import { clock, duration, grouped, ms, short } from "./format.js";
import { setText } from "./dom.js";

function showBadge(element, status, word) {
  if (!element || element.textContent === status) return;
  element.textContent = status;
  element.className = element.className.replace(/\bis-[\w-]+/, `is-${status}`);
  element.dataset.symbol = word?.[0] ?? "•";
  if (word) element.title = word[1];
}

export function updateRow(task, words) {
  const row = document.getElementById(`row-${task.id}`);
  if (!row) return;
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  showBadge(field("status"), task.status, words.task[task.status]);
  const performer = field("performer");
  if (performer && task.performer) {
    setText(performer, short(task.performer, 8, 6));
    performer.title = task.performer;
  }
  performer?.closest("td").classList.toggle("blank", !task.performer);
  for (const name of ["scheduled", "executed", "attested", "confirmed"]) {
    setText(field(name), task.timeline?.[name] ? clock(task.timeline[name]) : "");
    field(name)?.closest("td").classList.toggle("blank", !task.timeline?.[name]);
  }
  if (task.error) {
    const said = words.errors[task.error.code];
    field("error")?.classList.toggle("trouble", task.status === "failed");
    setText(field("error"), said ? said[0] : task.error.code.replaceAll("_", " "));
  }
  if (task.settlement?.block_number) setText(field("block"), String(task.settlement.block_number));
}

export function updateHead(state, words, now) {
  const { run } = state;
  showBadge(document.getElementById("run-status"), run.status, words.run[run.status]);
  setText(document.getElementById("confirmed"), `${state.confirmed} of ${state.list.length}`);
  setText(document.getElementById("spent"), grouped(run.spent_units));
  const from = ms(run.opened_at);
  const until = run.finished_at ? ms(run.finished_at) : now;
  setText(document.getElementById("took"), duration(until - from));
  for (const element of document.querySelectorAll("[data-when-open]")) element.hidden = !state.isOpen;
}
