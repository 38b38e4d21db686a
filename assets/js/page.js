// What every page does beside its own business: copying, confirming, times in the reader's zone.
import { toLocal } from "./format.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = button.dataset.copy || document.getElementById(button.dataset.copyFrom)?.textContent || "";
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(source.trim());
      button.textContent = "copied";
    } catch {
      button.textContent = "press Ctrl+C";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  });
}

for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  });
}

for (const select of document.querySelectorAll("select[data-submits]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = toLocal(time.dateTime);
}
