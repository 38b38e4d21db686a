// What the panel's sections are made of.
import { badge, h } from "./dom.js";
import { clock, short, toLocal } from "./format.js";

const SYMBOLS = {
  offered: "◑", acknowledged: "▶", returned: "✓", failed: "✕", expired: "⊘", revoked: "⊘",
  open: "…", valid: "✓", invalid: "✕", no_quorum: "?", moot: "⊘", submitted: "⇡", settled: "✓", void: "⊘",
  ready: "✓", ahead: "▶", wait: "◔", rolled_back: "↺", aborted: "⊗", cancelled: "⊘", waiting: "◔",
};

export const mark = (status, words) => badge(status, words ?? [SYMBOLS[status] ?? "•", ""]);

export const facts = (...rows) => h("dl", {}, rows.filter((row) => row && row[1] !== null && row[1] !== undefined && row[1] !== "")
  .map(([name, value, title]) => [h("dt", {}, name), h("dd", { title }, value)]));

export const section = (title, ...children) => h("section", {}, h("h3", {}, title), ...children);
export const mono = (text) => h("code", {}, text);
export const time = (iso) => h("time", { datetime: iso, title: toLocal(iso) }, clock(iso));
export const keeper = (address) => h("a", { href: `/keepers#${address}`, title: address }, mono(short(address, 8, 6)));

export function heading(task, words) {
  const status = words.task[task.status];
  return h("section", {},
    h("div", { class: "title" }, h("h2", {}, task.step_key), badge(task.status, status)),
    status && h("p", { class: "quiet" }, `${status[1][0].toUpperCase()}${status[1].slice(1)}.`),
    task.is_failing && h("p", { class: "quiet" }, "A failure of this attempt is signalled; it is being dealt with."),
    h("p", { class: "quiet" }, mono(task.id)));
}
