// The run page: one state, four views of it (graph, panel, time line, table), kept live by frames.
import { Dag, MOST_NODES, isDagAvailable } from "./dag.js";
import { Gantt } from "./gantt.js";
import { LiveStream, showConnection } from "./live.js";
import { RunState } from "./state.js";
import { drawPanel } from "./panel.js";
import { updateHead, updateRow } from "./table.js";

const REFETCH_AFTER = 350;
const REFETCH_AT_MOST_EVERY = 1000;

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

function choose(id, { byPerson = true } = {}) {
  const task = state.tasks.get(id) ?? state.list[0];
  if (!task) return;
  chosen = task.id;
  views.dag?.choose(chosen);
  views.gantt?.choose(chosen);
  for (const row of document.querySelectorAll("#steps tbody tr")) row.classList.toggle("is-chosen", row.dataset.task === chosen);
  drawPanel($("panel"), task, state.run, words);
  if (byPerson) history.replaceState(null, "", `#${task.step_key}`);
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
  if (task) drawPanel($("panel"), task, state.run, words);
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

/** The document has what frames do not carry: score cards, votes, settlements. */
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

function onFrame(frame) {
  const changed = state.apply(frame);
  if (changed && frame.patch.status) {
    said.push(changed === "run" ? `The run is ${frame.patch.status}` : `${changed.step_key} is ${frame.patch.status}`);
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
  if (!state.isOpen) return showConnection(live, "ended");
  new LiveStream(document.body.dataset.streamUrl, state.run.last_event, {
    onFrame,
    onState: (connection) => {
      showConnection(live, connection);
      if (connection === "ended") refetch();
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
