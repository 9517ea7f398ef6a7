// Light or dark: as the system is, until somebody chooses.

function chosenTheme() {
  try { return localStorage.getItem("coevolve-theme"); } catch { return null; }  // a file page may have no storage
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

function themes() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  setTheme(chosenTheme() ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => { if (!chosenTheme()) setTheme(system.matches ? "dark" : "light"); });
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    setTheme(theme);
    try { localStorage.setItem("coevolve-theme", theme); } catch { /* the choice lasts as long as the page */ }
  });
}
