// The preview beside a job's form, renewed while one types. Without this script the Preview button does it.
const PAUSE_MS = 250;
const form = document.getElementById("job-form");
const target = document.getElementById("preview");
let waiting = 0;
let asked = null;

async function renew() {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch(form.dataset.preview, {
      method: "POST", body: new FormData(form), signal: asked.signal, credentials: "same-origin",
    });
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    const open = [...target.querySelectorAll("details")].map((each) => each.open);
    target.replaceChildren(...found.childNodes);
    target.querySelectorAll("details").forEach((each, i) => { each.open = open[i] ?? false; });
  } catch (error) {
    if (error.name !== "AbortError") target.dataset.state = "unreachable";
  }
}

form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(renew, PAUSE_MS);
});
