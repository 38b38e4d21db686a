// The run as the page knows it: the server's document, patched by frames.
// The patch rule is the one of apps/progress/domain/frames.py: fields are replaced, `timeline` is merged.

export const ENDINGS = new Set(["confirmed", "failed", "cancelled", "aborted"]);

export class RunState {
  #recent = [];

  constructor(run) {
    this.replace(run);
  }

  /** Take a newer document, then apply again every frame it may not have seen. */
  replace(run) {
    if (this.run && run.last_event < this.run.last_event) return;
    this.run = run;
    this.tasks = new Map(run.tasks.map((task) => [task.id, task]));
    this.#recent = this.#recent.filter((frame) => frame.sequence > run.last_event);
    for (const frame of this.#recent) this.#patch(frame);
  }

  /** Apply one frame; return the task it changed, or "run", or null. */
  apply(frame) {
    this.#recent.push(frame);
    return this.#patch(frame);
  }

  #patch(frame) {
    const target = frame.entity === "run" && frame.id === this.run.id ? this.run : this.tasks.get(frame.id);
    if (!target || Object.keys(frame.patch).length === 0) return null;
    const timeline = frame.patch.timeline ? { ...target.timeline, ...frame.patch.timeline } : target.timeline;
    Object.assign(target, frame.patch);
    if (timeline) target.timeline = timeline;
    return target === this.run ? "run" : target;
  }

  get isOpen() {
    return this.run.status === "open";
  }

  get list() {
    return [...this.tasks.values()];
  }

  get confirmed() {
    return this.list.filter((task) => task.status === "confirmed").length;
  }
}

/** The stretches a task spent in each status, in time order; the last is open (end null) until it ends. */
export function segments(task) {
  const marks = Object.entries(task.timeline ?? {})
    .map(([status, iso]) => ({ status, at: Date.parse(iso) }))
    .filter((mark) => Number.isFinite(mark.at))
    .sort((a, b) => a.at - b.at);
  return marks.map((mark, index) => ({
    status: mark.status,
    start: mark.at,
    end: index + 1 < marks.length ? marks[index + 1].at : ENDINGS.has(mark.status) ? mark.at : null,
  }));
}
