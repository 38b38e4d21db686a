// Light, dark or as the system has it. Loaded before anything is painted, so that nothing flashes.
(() => {
  "use strict";
  const key = "forekeep-theme";
  const root = document.documentElement;
  const order = ["system", "light", "dark"];

  const read = () => {
    try {
      const kept = localStorage.getItem(key);
      return order.includes(kept) ? kept : "system";
    } catch {
      return "system";
    }
  };

  const show = (theme) => {
    if (theme === "system") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.querySelector("[data-theme-name]").textContent = theme;
    }
    document.dispatchEvent(new CustomEvent("themechange"));
  };

  show(read());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(read()));
  document.addEventListener("DOMContentLoaded", () => {
    show(read());
    document.getElementById("theme")?.addEventListener("click", () => {
      const next = order[(order.indexOf(read()) + 1) % order.length];
      try {
        localStorage.setItem(key, next);
      } catch { /* private mode: the choice lasts as long as the page */ }
      show(next);
    });
  });
})();
