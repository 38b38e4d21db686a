// The API page in the colours chosen on the other pages, or in the system's.
(() => {
  "use strict";
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    let kept = null;
    try {
      kept = localStorage.getItem("forekeep-theme");
    } catch { /* private mode */ }
    const wanted = kept === "dark" || (kept !== "light" && isDark.matches);
    document.documentElement.classList.toggle("dark-mode", wanted);
  };
  show();
  isDark.addEventListener("change", show);
})();
