// The stages of every task over time, as SVG. An unfinished stretch grows with the clock.
import { clock, duration, tick } from "./format.js";
import { ENDINGS, segments } from "./state.js";
import { s } from "./dom.js";

const ROW = 30;
const TOP = 30;
const RIGHT = 74;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5,
];

export class Gantt {
  /** `now()` is the server's time in milliseconds, `onChoose(taskId)` is called when a row is clicked. */
  constructor(container, state, words, { now, onChoose }) {
    Object.assign(this, { container, state, words, now, onChoose, chosen: null });
    new ResizeObserver(() => this.draw()).observe(container);
  }

  choose(id) {
    this.chosen = id;
    for (const row of this.container.querySelectorAll(".row")) row.classList.toggle("is-chosen", row.dataset.task === id);
  }

  draw() {
    const width = this.container.clientWidth;
    if (!width) return;
    const tasks = this.state.list;
    const left = Math.min(170, Math.max(84, width * 0.18));
    const all = tasks.map(segments);
    const [start, end] = this.#span(all);
    const scale = (at) => left + ((at - start) / (end - start)) * (width - left - RIGHT);
    const height = TOP + tasks.length * ROW + 6;

    const svg = s("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Time line of every step; the table below has the same times",
    });
    svg.append(this.#axis(start, end, scale, height));
    const due = Date.parse(this.state.run.due_at);
    if (due >= start && due <= end) {
      svg.append(s("line", { class: "due", x1: scale(due), x2: scale(due), y1: TOP - 6, y2: height }, s("title", {}, "due")));
    }
    tasks.forEach((task, index) => svg.append(this.#row(task, all[index], TOP + index * ROW, { left, width, scale, end })));
    this.container.replaceChildren(svg);
    this.choose(this.chosen);
  }

  #span(all) {
    const times = all.flat().flatMap((segment) => [segment.start, segment.end ?? this.now()]);
    if (!times.length) times.push(this.now());
    const start = Math.min(...times);
    const end = Math.max(...times, start + 20);
    return [start, end];
  }

  #axis(start, end, scale, height) {
    const wanted = Math.max(2, Math.min(9, Math.floor((scale(end) - scale(start)) / 95)));
    const step = STEPS.find((size) => (end - start) / size <= wanted) ?? 7 * 864e5;
    const group = s("g", { class: "axis" });
    const lines = s("g", { class: "grid" });
    for (let offset = 0; offset <= end - start; offset += step) {
      const x = scale(start + offset);
      lines.append(s("line", { x1: x, x2: x, y1: TOP - 6, y2: height }));
      const text = offset === 0 ? `${clock(new Date(start).toISOString(), false)}` : `+${tick(offset)}`;
      group.append(s("text", { x: x + 3, y: TOP - 12 }, text));
    }
    return s("g", {}, lines, group);
  }

  #row(task, parts, y, { left, width, scale, end }) {
    const middle = y + ROW / 2;
    const name = task.step_key.length > left / 7.4 ? `${task.step_key.slice(0, Math.floor(left / 7.4) - 1)}…` : task.step_key;
    const row = s("g", { class: "row", "data-task": task.id, onclick: () => this.onChoose(task.id) },
      s("title", {}, `${task.step_key}: ${task.status}`),
      s("rect", { class: "hit", x: 0, y, width, height: ROW }),
      s("text", { x: 4, y: middle + 4 }, name));

    let last = left;
    for (const part of parts) {
      const x = scale(part.start);
      const until = part.end ?? end;
      last = Math.max(last, scale(until));
      if (ENDINGS.has(part.status)) continue;
      const wide = Math.max(1.5, scale(until) - x);
      row.append(s("rect", { class: `seg is-${part.status}`, x, y: y + 5, width: wide, height: ROW - 10, rx: 3 },
        s("title", {}, `${part.status} ${duration(until - part.start)}${part.end === null ? " so far" : ""}`)));
      if (wide > part.status.length * 6.6 + 10) {
        row.append(s("text", { class: `seg-name is-${part.status}`, x: x + 5, y: middle + 4 }, part.status));
      }
    }
    row.append(...this.#work(task, y, scale, end));
    const first = parts[0]?.start;
    const finish = parts.at(-1)?.end;
    if (ENDINGS.has(task.status)) {
      row.append(s("text", { class: `end is-${task.status}`, x: last + 5, y: middle + 5 }, this.words.task[task.status]?.[0] ?? "•"));
    }
    if (first !== undefined) {
      const took = duration((finish ?? this.now()) - first);
      row.append(s("text", { x: last + (ENDINGS.has(task.status) ? 22 : 6), y: middle + 4, class: "took" }, took));
    }
    return row;
  }

  /** The stretch in which the keeper's sandbox ran, as the keeper signed it. */
  #work(task, y, scale, end) {
    const from = Date.parse(task.measures?.started_at);
    const to = Date.parse(task.measures?.finished_at);
    if (!Number.isFinite(from) || !Number.isFinite(to) || to > end + 1000) return [];
    const x = scale(from);
    return [s("line", { class: "work", x1: x, x2: Math.max(x + 1, scale(to)), y1: y + ROW - 4, y2: y + ROW - 4 },
      s("title", {}, `the script ran ${duration(to - from)}`))];
  }
}
