// The run as the page knows it: the server's document, patched by frames.
// The patch rule is the one of apps/progress/domain/frames.py: fields are replaced, `timeline` is merged.

export const ENDINGS = new Set(["confirmed", "failed", "rolled_back", "cancelled", "aborted"]);

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
    const target = this.#find(frame);
    if (!target || Object.keys(frame.patch).length === 0) return null;
    const timeline = frame.patch.timeline ? { ...target.timeline, ...frame.patch.timeline } : target.timeline;
    Object.assign(target, frame.patch);
    if (timeline) target.timeline = timeline;
    return target === this.run ? "run" : frame.entity === "task" ? target : null;
  }

  #find(frame) {
    if (frame.entity === "run") return frame.id === this.run.id ? this.run : null;
    if (frame.entity === "rollback") return this.run.rollbacks.find((rollback) => rollback.id === frame.id);
    return this.tasks.get(frame.id);
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

/** Whether a task has begun on results that are not confirmed, and is not confirmed itself. */
export const isSpeculative = (task) => task.is_ahead && !ENDINGS.has(task.status);

/** Whether the task was opened again after an attempt of it was undone. */
const isAgain = (task) => task.attempts.some((attempt) => attempt.rollbacks.length && attempt.epoch < task.epoch);

/**
 * The stretches a task's latest attempt spent in each status, in time order; the last is open (end null) until it
 * ends. What lies before the moment it was opened again, as `waiting`, is an earlier attempt's.
 */
export function segments(task) {
  const all = Object.entries(task.timeline ?? {})
    .map(([status, iso]) => ({ status, at: Date.parse(iso) }))
    .filter((mark) => Number.isFinite(mark.at));
  const from = isAgain(task) ? all.find((mark) => mark.status === "waiting")?.at ?? -Infinity : -Infinity;
  const marks = all
    .filter((mark) => mark.at >= from && (!ENDINGS.has(mark.status) || mark.status === task.status))
    .sort((a, b) => a.at - b.at);
  return marks.map((mark, index) => ({
    status: mark.status,
    start: mark.at,
    end: index + 1 < marks.length ? marks[index + 1].at : ENDINGS.has(mark.status) ? mark.at : null,
  }));
}

/** The attempts before the latest, each from its lease to what undid it. */
export function pastAttempts(task) {
  const undone = task.attempts.filter((attempt) => attempt.began_at && attempt.rollbacks.length && attempt.epoch < task.epoch);
  return undone.map((attempt) => {
    const last = attempt.rollbacks.at(-1);
    return { epoch: attempt.epoch, start: Date.parse(attempt.began_at), end: Date.parse(last.at), target: last.target };
  });
}

/** The stretch in which a task stood on results that were not confirmed: from its lease to its last parent's end. */
export function aheadStretch(task, byStep) {
  const start = Date.parse(task.timeline?.scheduled);
  if (!task.is_ahead || !Number.isFinite(start)) return null;
  const ends = task.parents.map((parent) => {
    const above = byStep.get(parent.step);
    return above?.status === "confirmed" ? Date.parse(above.timeline.confirmed) : Infinity;
  });
  const own = ENDINGS.has(task.status) ? Date.parse(task.timeline[task.status]) : Infinity;
  const end = Math.min(own, Math.max(...ends, start));
  return { start, end: Number.isFinite(end) ? end : null };
}
