// Puts the page together, and again whenever new data comes.

const MARKS = { good: "✓", watch: "!", bad: "✕" };
const TONES = { good: "good", watch: "worth a look", bad: "needs attention" };

const measuredEntries = () => iterations.filter((entry) => entry.held_out);

function lead() {
  const measured = measuredEntries();
  if (!measured.length) return "";
  const last = measured[measured.length - 1];
  const parts = [];
  if (last.held_out.ci95) parts.push(`95 % interval ${interval(last.held_out.ci95)}\u00a0%.`);
  const control = data.summary.controls.fence_forced_base;
  if (control) parts.push(`The base model made to use the tool reaches ${percent(control.mean_at_8)}.`);
  return parts.join(" ");
}

// The run in a few large numbers: [name, first value, last value, agent].
function stats() {
  const measured = measuredEntries();
  const pools = trained.filter((entry) => entry.pool).map((entry) => entry.pool);
  const ends = (values, show) => (values.length > 1 ? [show(values[0]), el("i", {}, "→"), show(values[values.length - 1])] : values.length ? [show(values[0])] : null);
  const series = (list, of) => list.map(of).filter(known);
  const sum = (key) => pools.reduce((total, pool) => total + (pool[key] ?? 0), 0);
  const { wall_s: wall, status } = data.summary;
  return [
    ["tool calls per solution", ends(series(measured, (entry) => entry.held_out.tool_calls), (value) => number(value, 1)), "executor"],
    ["first executor passes, by pool", ends(series(pools, (pool) => pool.first_executor_pass_rate), (value) => percent(value, 0)), "curriculum"],
    ["kept labels that are right", ends(series(pools, (pool) => pool.label_accuracy_kept), (value) => percent(value, 0)), ""],
    ["tasks kept of those written", pools.length ? [count(sum("kept")), el("small", {}, ` of ${count(sum("size"))}`)] : null, ""],
    [status === "finished" ? "in all" : "so far", wall ? [seconds(wall)] : null, ""],
  ].filter(([, value]) => value).map(([name, value, agent]) => el("div", { class: agent || null }, el("dt", {}, name), el("dd", {}, value)));
}

function finding({ tone, title, text }) {
  return el("li", {}, el("span", { class: `badge ${tone}`, role: "img", "aria-label": TONES[tone] }, MARKS[tone]), el("div", {}, el("b", {}, title), el("p", {}, text)));
}

// Everything above the tasks, drawn from `data`.
function drawPage() {
  const { method, preset, seed, status } = data.summary;
  byId("run").replaceChildren(el("b", {}, data.run.name), ` · ${method} · ${preset} · seed ${seed}${data.live ? "" : ` · ${status}`}`);
  byId("headline").textContent = data.headline;
  byId("lead").textContent = lead();
  byId("standing").textContent = data.standing;
  byId("standing").hidden = !data.standing || Boolean(data.live);  // a live page says more of it
  byId("stats").replaceChildren(...stats());
  byId("notices").replaceChildren(...data.notices.map(finding));
  byId("notices").hidden = !data.notices.length;
  byId("outcome").replaceChildren(accuracyFigure(), levelFigure());
  byId("growing").replaceChildren(passRateFigure(), toolFigure(), stepsFigure());
  byId("health").replaceChildren(...(data.health.length ? data.health.map(finding) : [el("li", {}, "There is nothing to judge yet.")]));
  byId("healthy").replaceChildren(...[histogramFigure(), labelFigure(), paidFigure(), writingFigure(), rewardFigure(), voteFigure(), entropyFigure(), klFigure(), skippedFigure(), clipFigure()].filter(Boolean));
  byId("time").replaceChildren(timeFigure());
  byId("other").replaceChildren(transferTable(), controlTable());
  byId("config").textContent = data.run.config;
  byId("made").textContent = `Made by coevolve ${data.run.version}. Make it again: coevolve report RUN`;
}

let kept = null;  // what stands at the upper edge, while the page changes

// Does something that changes the page, and leaves where it is what stands at the upper edge of the window, though
// what is above it may have become longer or shorter.
function keepingPlace(work) {
  if (!kept) {  // else figures are still without their height: what was seen before them counts
    const part = [...document.querySelectorAll("main section, main .figures, #browser, #time")].findLast((node) => node.getBoundingClientRect().top < 80);
    kept = { y: window.scrollY, part, top: part?.getBoundingClientRect().top };
  }
  try {
    work();
  } finally {
    queueMicrotask(putBack);  // after the figures have their height
  }
}

function putBack() {
  if (!kept) return;
  const moved = kept.part ? kept.part.getBoundingClientRect().top - kept.top : kept.y - window.scrollY;
  kept = null;
  if (Math.abs(moved) >= 1) window.scrollBy({ top: moved, behavior: "instant" });  // else a scroll in progress goes on
}

// New data of the same run: everything is drawn again where it stands. Tasks that the new data leaves out stay.
function update(newData) {
  keepingPlace(() => {
    take(newData);
    if (newData.tasks) takeTasks(newData.tasks);
    const open = openFigures();
    drawPage();
    reopenFigures(open);
    if (newData.tasks) refreshTasks();
  });
}

window.coevolvePage = { update };
themes();
take(JSON.parse(byId("data").textContent));
drawPage();
document.addEventListener("DOMContentLoaded", () => {  // the tasks stand behind this script: the figures are there first
  takeTasks(JSON.parse(byId("tasks-data").textContent));
  taskBrowser();
  if (data.live) follow();
});
