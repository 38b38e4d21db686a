// Keeps the list of runs in step: on news, the page's own list is fetched again and put in place.
import { LiveStream, showConnection } from "./live.js";

const AT_MOST_EVERY = 1500;
const live = document.getElementById("live");
let timer = 0;
let last = 0;

function queue() {
  if (timer) return;
  timer = setTimeout(refresh, Math.max(150, last + AT_MOST_EVERY - Date.now()));
}

async function refresh() {
  timer = 0;
  last = Date.now();
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("list");
    const list = document.getElementById("list");
    if (!fresh || list.contains(document.activeElement)) return;
    list.replaceChildren(...fresh.childNodes);
  } catch {
    // offline: the stream says so and fetches again when it is back
  }
}

live.hidden = false;
document.addEventListener("visibilitychange", () => { if (!document.hidden) queue(); });
new LiveStream(document.body.dataset.streamUrl, null, {
  onFrame: (frame) => { if (frame.entity === "run" || frame.entity === "task") queue(); },
  onState: (state) => showConnection(live, state),
  onResume: queue,
});
