// Light, dark, or as the system has it. Not a module: it runs before the page is painted, so that nothing flashes.
"use strict";

(() => {
  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;
  let stored = null;
  try {
    stored = localStorage.getItem("theme");
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }
  root.dataset.theme = THEMES.includes(stored) ? stored : "auto";

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      button.querySelector("span").textContent = root.dataset.theme;
    };
    button.addEventListener("click", () => {
      root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // As above.
      }
      show();
      document.dispatchEvent(new Event("themechange"));
    });
    show();
  });
})();
