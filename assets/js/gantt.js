// The stages of every task over time, as SVG. An unfinished stretch grows with the clock. Hatched is the time in which
// a task stood on results that were not confirmed; attempts before the latest are one dashed bar each.
import { clock, duration, tick } from "./format.js";
import { s, shown } from "./dom.js";
import { ENDINGS, aheadStretch, pastAttempts, segments } from "./state.js";

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
    const past = tasks.map(pastAttempts);
    const [start, end] = this.#span([...all, ...past]);
    const scale = (at) => left + ((at - start) / (end - start)) * (width - left - RIGHT);
    const height = TOP + tasks.length * ROW + 6;

    const svg = s("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Time line of every step; the table below has the same times",
    });
    svg.append(hatch(), this.#axis(start, end, scale, height));
    const due = Date.parse(this.state.run.due_at);
    if (due >= start && due <= end) {
      svg.append(s("line", { class: "due", x1: scale(due), x2: scale(due), y1: TOP - 6, y2: height }, s("title", {}, "due")));
    }
    const byStep = new Map(tasks.map((task) => [task.step_key, task]));
    tasks.forEach((task, index) => svg.append(
      this.#row(task, all[index], TOP + index * ROW, { left, width, scale, end, byStep, past: past[index] })));
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

  #row(task, parts, y, { left, width, scale, end, byStep, past }) {
    const middle = y + ROW / 2;
    const name = task.step_key.length > left / 7.4 ? `${task.step_key.slice(0, Math.floor(left / 7.4) - 1)}…` : task.step_key;
    const row = s("g", { class: "row", "data-task": task.id, onclick: () => this.onChoose(task.id) },
      s("title", {}, `${task.step_key}: ${shown(task.status)}`),
      s("rect", { class: "hit", x: 0, y, width, height: ROW }),
      s("text", { x: 4, y: middle + 4 }, name));

    let last = left;
    past.forEach((attempt, index) => {
      const x = scale(attempt.start);
      row.append(s("rect", { class: `past is-${attempt.target}`, x, y: y + 8, width: Math.max(2, scale(attempt.end) - x), height: ROW - 16, rx: 3 },
        s("title", {}, `try ${index + 1}: ${shown(attempt.target)} after ${duration(attempt.end - attempt.start)}`)));
    });
    for (const part of parts) {
      const x = scale(part.start);
      const until = part.end ?? end;
      last = Math.max(last, scale(until));
      if (ENDINGS.has(part.status)) continue;
      const wide = Math.max(1.5, scale(until) - x);
      row.append(s("rect", { class: `seg is-${part.status}`, x, y: y + 5, width: wide, height: ROW - 10, rx: 3 },
        s("title", {}, `${shown(part.status)} ${duration(until - part.start)}${part.end === null ? " so far" : ""}`)));
      if (wide > part.status.length * 6.6 + 10) {
        row.append(s("text", { class: `seg-name is-${part.status}`, x: x + 5, y: middle + 4 }, shown(part.status)));
      }
    }
    row.append(...this.#ahead(task, y, scale, end, byStep));
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

  #ahead(task, y, scale, end, byStep) {
    const stretch = aheadStretch(task, byStep);
    if (!stretch) return [];
    const x = scale(stretch.start);
    const until = stretch.end ?? end;
    return [s("rect", { class: "ahead", fill: "url(#ahead)", x, y: y + 5, width: Math.max(1.5, scale(until) - x), height: ROW - 10, rx: 3 },
      s("title", {}, `ahead of its parents' confirmation for ${duration(until - stretch.start)}`))];
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

const hatch = () => s("defs", {},
  s("pattern", { id: "ahead", patternUnits: "userSpaceOnUse", width: 7, height: 7, patternTransform: "rotate(45)" },
    s("line", { class: "hatch", x1: 1, x2: 1, y1: 0, y2: 7 })));
