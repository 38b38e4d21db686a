// The run page: one state, four views of it (graph, panel, time line, table), kept live by frames.
import { Dag, MOST_NODES, isDagAvailable } from "./dag.js";
import { shown } from "./dom.js";
import { Gantt } from "./gantt.js";
import { LiveStream, showConnection } from "./live.js";
import { RunState } from "./state.js";
import { drawPanel } from "./panel.js";
import { updateHead, updateRow } from "./table.js";

const REFETCH_AFTER = 350;
const REFETCH_AT_MOST_EVERY = 1000;
/** after the run's end leases are still taken back: look again after these many milliseconds, while any is open */
const REFETCHES_AFTER_END = [1000, 2000, 4000, 8000, 15_000, 30_000];
const OPEN_LEASES = new Set(["offered", "acknowledged"]);

const $ = (id) => document.getElementById(id);
const words = JSON.parse($("words").textContent);
const state = new RunState(JSON.parse($("run-data").textContent));
const skew = Date.parse(document.body.dataset.now) - Date.now();
const now = () => Date.now() + skew;

const views = { dag: null, gantt: null };
let chosen = null;
let isDrawQueued = false;
let refetchTimer = 0;
let lastRefetch = 0;
const said = [];
/** task → { decided_at, decision }: decisions with their checks, fetched when their task is looked at */
const decisions = new Map();

function choose(id, { byPerson = true } = {}) {
  const task = state.tasks.get(id) ?? state.list[0];
  if (!task) return;
  chosen = task.id;
  views.dag?.choose(chosen);
  views.gantt?.choose(chosen);
  for (const row of document.querySelectorAll("#steps tbody tr")) row.classList.toggle("is-chosen", row.dataset.task === chosen);
  showTask(task);
  if (byPerson) history.replaceState(null, "", `#${task.step_key}`);
}

function showTask(task) {
  const known = decisions.get(task.id);
  drawPanel($("panel"), task, state.run, words, known?.decision ?? null);
  if (task.speculation && known?.decided_at !== task.speculation.decided_at) fetchDecision(task.id, task.speculation.decided_at);
}

async function fetchDecision(id, decidedAt) {
  decisions.set(id, { decided_at: decidedAt, decision: decisions.get(id)?.decision ?? null });
  try {
    const answer = await fetch(`/api/v1/tasks/${id}/decision`, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (!answer.ok) return;
    decisions.set(id, { decided_at: decidedAt, decision: await answer.json() });
    if (id === chosen) queueDraw();
  } catch {
    decisions.delete(id);
  }
}

function drawAll() {
  isDrawQueued = false;
  for (const task of state.list) {
    views.dag?.update(task);
    updateRow(task, words);
  }
  updateHead(state, words, now());
  views.gantt?.draw();
  const task = state.tasks.get(chosen);
  if (task) showTask(task);
  if (said.length) $("announcer").textContent = said.splice(0).slice(-4).join(". ");
}

function queueDraw() {
  if (isDrawQueued) return;
  isDrawQueued = true;
  requestAnimationFrame(drawAll);
}

function queueRefetch() {
  if (refetchTimer) return;
  const wait = Math.max(REFETCH_AFTER, lastRefetch + REFETCH_AT_MOST_EVERY - Date.now());
  refetchTimer = setTimeout(refetch, wait);
}

/** The document has what frames do not carry: score cards, votes, settlements, bonds, proofs, figures. */
async function refetch() {
  refetchTimer = 0;
  lastRefetch = Date.now();
  try {
    const answer = await fetch(document.body.dataset.runUrl, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (!answer.ok) return;
    state.replace(await answer.json());
    queueDraw();
  } catch {
    // offline: the stream says so, and a resumed stream fetches again
  }
}

/** Whether nothing about the run can change any more. */
function isAtRest() {
  return !state.isOpen && state.list.every((task) => !task.assignments.some((lease) => OPEN_LEASES.has(lease.status)));
}

/** Fetch until the document has the end of everything, a few times at most. */
async function settle(waits = REFETCHES_AFTER_END) {
  await refetch();
  if (isAtRest() || !waits.length) return;
  setTimeout(() => settle(waits.slice(1)), waits[0]);
}

function onFrame(frame) {
  const changed = state.apply(frame);
  if (changed && frame.patch.status) {
    const status = shown(frame.patch.status);
    said.push(changed === "run" ? `The run is ${status}` : `${changed.step_key} is ${status}`);
  }
  queueRefetch();
  queueDraw();
}

function start() {
  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;
  const canvas = $("dag");
  if (isDagAvailable() && state.list.length <= MOST_NODES) {
    views.dag = new Dag(canvas, state, words, choose);
    document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
      if (button.dataset.zoom === "fit") views.dag.fit();
      else views.dag.zoomBy(Number(button.dataset.zoom));
    }));
  } else {
    canvas.textContent = "The graph is too large to draw; the table below has every step.";
  }
  views.gantt = new Gantt($("gantt"), state, words, { now, onChoose: choose });
  for (const button of document.querySelectorAll("#steps [data-choose]")) {
    button.addEventListener("click", () => {
      choose(button.dataset.choose);
      if (matchMedia("(max-width: 1000px)").matches) $("panel").scrollIntoView({ block: "nearest" });
    });
  }

  const byHash = state.list.find((task) => `#${task.step_key}` === decodeURIComponent(location.hash));
  const wanted = byHash ?? state.list.find((task) => task.error) ?? state.list.find((task) => task.status === "executing") ?? state.list[0];
  if (wanted) choose(wanted.id, { byPerson: false });
  drawAll();

  const live = $("live");
  live.hidden = false;
  if (!state.isOpen) {
    showConnection(live, "ended");
    if (!isAtRest()) settle();
    return;
  }
  new LiveStream(document.body.dataset.streamUrl, state.run.last_event, {
    onFrame,
    onState: (connection) => {
      showConnection(live, connection);
      if (connection === "ended") settle();
    },
    onResume: refetch,
  });
  const ticking = setInterval(() => {
    if (!state.isOpen) clearInterval(ticking);
    else if (!document.hidden) {
      views.gantt.draw();
      updateHead(state, words, now());
    }
  }, 500);
}

start();
