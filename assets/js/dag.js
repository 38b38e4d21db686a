// The run's graph: Cytoscape with the dagre layout. Shape, border and text tell the state as well as colour:
// filled is confirmed, hatched runs ahead and is not confirmed, red failed or was rolled back.
/* global cytoscape, cytoscapeDagre */
import { shown } from "./dom.js";
import { isSpeculative } from "./state.js";

// no two round polygons: Cytoscape keeps a node's corners when its shape changes from one to another
const SHAPES = {
  discovered: "round-rectangle", waiting: "round-rectangle", scheduled: "tag", executing: "tag",
  executed: "hexagon", attested: "hexagon", proving: "hexagon", proved: "hexagon", waiting_ancestors: "hexagon",
  submitted: "hexagon", confirmed: "rectangle", failed: "octagon", rolled_back: "octagon", cancelled: "cut-rectangle",
  aborted: "cut-rectangle",
};
const DASHED = new Set(["discovered", "waiting", "cancelled", "aborted", "rolled_back"]);
const THICK = new Set(["executing", "failed", "rolled_back"]);
/** stripes across a hatched node */
const STRIPES = 21;
const EDGE_LINES = { data: "solid", order: "dashed", resource: "dotted" };
export const MOST_NODES = 1500;
/** from this width on the graph runs from left to right */
const WIDE = 560;

export class Dag {
  /** `onChoose(taskId)` is called when a node is tapped. */
  constructor(container, state, words, onChoose) {
    Object.assign(this, { container, state, words });
    this.cy = cytoscape({
      container,
      elements: this.#elements(),
      style: this.#style(),
      layout: { name: "preset" },
      autoungrabify: true,
      boxSelectionEnabled: false,
      userZoomingEnabled: false,
      userPanningEnabled: false,
      minZoom: 0.1,
      maxZoom: 2.5,
    });
    this.cy.on("tap", "node", (event) => onChoose(event.target.id()));
    this.cy.on("mouseover", "node", () => { container.style.cursor = "pointer"; });
    this.cy.on("mouseout", "node", () => { container.style.cursor = ""; });
    this.arrange();
    document.addEventListener("themechange", () => this.cy.style(this.#style()));
    let seen = [container.clientWidth, container.clientHeight];
    new ResizeObserver(() => {
      const size = [container.clientWidth, container.clientHeight];
      if (Math.abs(size[0] - seen[0]) < 8 && Math.abs(size[1] - seen[1]) < 8) return;
      const isTurned = size[0] > WIDE !== seen[0] > WIDE;
      seen = size;
      this.cy.resize();
      if (isTurned) this.arrange();
      else this.fit();
    }).observe(container);
  }

  /** The way it usually runs, or the other way where that is a good deal larger: independent steps are a row or a column. */
  arrange() {
    const isWide = this.container.clientWidth > WIDE;
    const [usual, other] = isWide ? ["LR", "TB"] : ["TB", "LR"];
    this.#layOut(usual, isWide);
    const usualZoom = this.#zoomToFit();
    if (usualZoom < 1) {
      this.#layOut(other, isWide);
      if (this.#zoomToFit() < usualZoom * 1.25) this.#layOut(usual, isWide);
    }
    this.cy.edges().addClass("routed");
    this.fit();
  }

  #layOut(rankDir, isWide) {
    this.cy.layout({
      name: "dagre", rankDir, nodeSep: 22, rankSep: isWide ? 46 : 34, fit: false, animate: false,
      useDagreEdgeControlPoints: true, automaticDagreEdgeStyle: false,
    }).run();
  }

  /** How large the graph could be drawn, 1 being its own size. */
  #zoomToFit() {
    const box = this.cy.elements().boundingBox();
    return Math.min((this.container.clientWidth - 44) / box.w, (this.container.clientHeight - 44) / box.h);
  }

  fit() {
    this.cy.fit(undefined, 22);
    if (this.cy.zoom() > 1.15) {
      this.cy.zoom(1.15);
      this.cy.center();
    }
    this.fitZoom = this.cy.zoom();
    this.container.dataset.zoom = this.fitZoom.toFixed(2);
    this.cy.userPanningEnabled(false);
  }

  zoomBy(factor) {
    const middle = { x: this.container.clientWidth / 2, y: this.container.clientHeight / 2 };
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: middle });
    this.cy.userPanningEnabled(this.cy.zoom() > this.fitZoom * 1.01);
  }

  update(task) {
    const node = this.cy.getElementById(task.id);
    if (node.empty()) return;
    node.data(this.#data(task));
  }

  choose(id) {
    this.cy.nodes().removeClass("chosen");
    this.cy.getElementById(id).addClass("chosen");
  }

  #label(task) {
    const name = task.step_key.length > 20 ? `${task.step_key.slice(0, 19)}…` : task.step_key;
    const more = [
      isSpeculative(task) ? `ahead, depth ${task.depth}` : null,
      task.attempts.length > 1 ? `try ${task.attempts.length}` : null,
    ].filter(Boolean).join(" · ");
    return `${name}\n${this.words.task[task.status]?.[0] ?? "•"} ${shown(task.status)}${more ? `\n${more}` : ""}`;
  }

  #data(task) {
    const label = this.#label(task);
    return { status: task.status, label, ahead: isSpeculative(task) ? 1 : 0, lines: label.split("\n").length };
  }

  #elements() {
    const byStep = new Map(this.state.list.map((task) => [task.step_key, task.id]));
    const nodes = this.state.list.map((task) => ({
      group: "nodes", data: { id: task.id, ...this.#data(task) },
    }));
    const edges = this.state.list.flatMap((task) => task.parents.map((parent) => ({
      group: "edges",
      data: { id: `${task.id}<${parent.step}`, source: byStep.get(parent.step), target: task.id, kind: parent.kind },
    })));
    return [...nodes, ...edges];
  }

  /** The style sheet's colours, resolved: canvas knows no custom properties. */
  #style() {
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
    const resolve = (status, property) => {
      probe.className = status ? `badge is-${status}` : "quiet";
      return getComputedStyle(probe)[property];
    };
    const font = getComputedStyle(document.body).fontFamily;
    const line = resolve("", "color");
    const rules = [
      { selector: "node", style: {
        label: "data(label)", "text-wrap": "wrap", "text-valign": "center", "text-halign": "center", "line-height": 1.3,
        "font-family": font, "font-size": 13, "font-weight": 600, width: 172, height: 54, shape: "round-rectangle",
        "border-width": 1.5, "background-color": resolve("waiting", "backgroundColor"), color: resolve("waiting", "color"),
        "border-color": resolve("waiting", "color"),
      } },
      { selector: "edge", style: {
        width: 1.6, "curve-style": "bezier", "target-arrow-shape": "triangle", "arrow-scale": 0.9,
        "line-color": line, "target-arrow-color": line, opacity: 0.75,
      } },
      // the layout leaves each edge's bends in its scratch
      { selector: "edge.routed", style: {
        "curve-style": "unbundled-bezier", "edge-distances": "intersection",
        "control-point-weights": (edge) => edge.scratch("controlPointWeights"),
        "control-point-distances": (edge) => edge.scratch("controlPointDistances"),
      } },
      ...Object.entries(EDGE_LINES).map(([kind, shape]) => (
        { selector: `edge[kind = "${kind}"]`, style: { "line-style": shape } })),
      { selector: 'edge[kind = "resource"]', style: { "target-arrow-shape": "none" } },
      ...Object.keys(SHAPES).map((status) => ({ selector: `node[status = "${status}"]`, style: {
        shape: SHAPES[status],
        "border-style": DASHED.has(status) ? "dashed" : status === "confirmed" ? "double" : "solid",
        "border-width": status === "confirmed" ? 4 : THICK.has(status) ? 3 : 1.5,
        "background-color": resolve(status, status === "confirmed" ? "color" : "backgroundColor"),
        color: resolve(status, status === "confirmed" ? "backgroundColor" : "color"),
        "border-color": resolve(status, status === "confirmed" ? "backgroundColor" : "color"),
      } })),
      { selector: "node[lines > 2]", style: { height: 72 } },
      ...Object.keys(SHAPES).map((status) => ({ selector: `node[status = "${status}"][ahead = 1]`, style: {
        ...hatched(resolve(status, "backgroundColor"), resolve(status, "color")), "border-style": "dashed", "border-width": 2.5,
        "text-outline-color": resolve(status, "backgroundColor"), "text-outline-width": 2.5,
      } })),
      { selector: "node.chosen", style: {
        "underlay-color": resolve("executing", "color"), "underlay-opacity": 0.25, "underlay-padding": 8, "underlay-shape": "round-rectangle",
      } },
    ];
    probe.remove();
    return rules;
  }
}

/** A fill of slanted stripes in two near colours: a gradient with hard stops, as canvas knows no pattern here. */
function hatched(paper, ink) {
  const tight = paper.replaceAll(" ", "");
  const stripe = mix(paper, ink, 0.3);
  const colors = [];
  const positions = [];
  for (let index = 0; index < STRIPES; index += 1) {
    const color = index % 2 ? stripe : tight;
    colors.push(color, color);
    positions.push(`${(100 * index) / STRIPES}%`, `${(100 * (index + 1)) / STRIPES}%`);
  }
  return {
    "background-fill": "linear-gradient", "background-gradient-direction": "to-bottom-right",
    "background-gradient-stop-colors": colors.join(" "), "background-gradient-stop-positions": positions.join(" "),
  };
}

function mix(paper, ink, share) {
  const [from, to] = [paper, ink].map((color) => color.match(/[\d.]+/g).slice(0, 3).map(Number));
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * share)).join(",")})`;
}

export const isDagAvailable = () => typeof cytoscape === "function" && typeof cytoscapeDagre !== "undefined";
