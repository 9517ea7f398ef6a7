// The index of several runs: a line each, the one that was written to last first.

const STATES = { running: "Running", finished: "Finished", interrupted: "Interrupted", failed: "Failed", stopped: "Stopped", unreadable: "Cannot be read" };
const HEAD = ["run", "status", "iteration", "held out", "last change"];
let shelf = JSON.parse(byId("data").textContent);

// "3 min ago", which is what one wants to know of a run in progress.
function ago(moment) {
  const passed = Math.max(Date.now() / 1000 - moment, 0);
  if (passed < 60) return "just now";
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  return passed < 86400 ? `${Math.floor(passed / 3600)} h ago` : new Date(1000 * moment).toLocaleDateString();
}

function heldOut({ base, held_out: now, ci95, iteration }) {
  if (!known(now)) return ["–"];
  const [low, high] = [Math.min(base, now), Math.max(base, now)];
  const interval = ci95 ? `95 % interval ${percent(ci95[0])} to ${percent(ci95[1])}` : "";
  return [el("span", { title: interval }, iteration ? `${percent(base)} → ${percent(now)}` : percent(now)),
    el("span", { class: "change", "aria-hidden": "true" }, el("i", { style: `left:${100 * low}%;width:${Math.max(100 * (high - low), 2)}%` }))];
}

function runLine(run) {
  const about = run.problem ?? `${run.method} · ${run.preset} · seed ${run.seed}`;
  return el("tr", {},
    el("td", {}, el("a", { href: beside(`runs/${encodeURIComponent(run.name)}/`) }, run.name), el("small", {}, about)),
    el("td", {}, el("span", { class: `state ${run.state}` }, STATES[run.state])),
    el("td", { class: "count" }, known(run.iteration) ? `${run.iteration} of ${run.iterations}` : "–"),
    el("td", { class: "count" }, heldOut(run)),
    el("td", { class: "count" }, el("span", { title: new Date(1000 * run.changed).toLocaleString() }, ago(run.changed))));
}

function drawRuns() {
  const { runs, more } = shelf;
  const running = runs.filter((run) => run.state === "running").length;
  byId("folder").textContent = shelf.folder;
  byId("headline").textContent = runs.length ? `${runs.length}${more ? " or more" : ""} run${runs.length === 1 ? "" : "s"}, ${running || "none"} in progress` : "There is no run here yet";
  byId("runs").replaceChildren(runs.length ? el("table", { class: "runs" }, el("thead", {}, el("tr", {}, HEAD.map((name, i) => el("th", { scope: "col", class: i > 1 ? "count" : null }, name)))), el("tbody", {}, runs.map(runLine)))
    : el("p", { class: "lead" }, "A run that begins in this folder appears by itself."));
}

const bringRuns = oneAtATime(async () => { shelf = await askFor(shelf.live.data); drawRuns(); });
themes();
drawRuns();
hear(shelf.live.events, (news) => { if (news.versions.data !== shelf.live.versions.data) bringRuns().catch(() => {}); }, (works) => {
  byId("live").textContent = works ? "live" : "connection lost, trying again";
  byId("live").className = works ? "live" : "live lost";
  byId("live").hidden = false;
});
setInterval(drawRuns, 30000);
