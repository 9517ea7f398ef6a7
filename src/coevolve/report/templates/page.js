// Puts the page together, and again whenever new data comes.

const MARKS = { good: "✓", watch: "!", bad: "✕" };
const TONES = { good: "good", watch: "worth a look", bad: "needs attention" };

function lead() {
  const { iterations: entries, wall_s: wall, controls, status } = data.summary;
  const measured = entries.filter((entry) => entry.held_out);
  if (!measured.length) return "";
  const last = measured[measured.length - 1];
  const parts = [];
  if (last.held_out.ci95) parts.push(`95 % interval ${interval(last.held_out.ci95)}\u00a0%.`);
  if (measured.length > 1 && known(last.held_out.tool_calls)) parts.push(`Tool calls per solution went from ${number(measured[0].held_out.tool_calls, 1)} to ${number(last.held_out.tool_calls, 1)}.`);
  if (controls.fence_forced_base) parts.push(`The base model made to use the tool reaches ${percent(controls.fence_forced_base.mean_at_8)}.`);
  if (wall) parts.push(`${status === "finished" ? "It took" : "So far it took"} ${seconds(wall)}.`);
  return parts.join(" ");
}

function finding({ tone, title, text }) {
  return el("li", {}, el("span", { class: `badge ${tone}`, role: "img", "aria-label": TONES[tone] }, MARKS[tone]), el("div", {}, el("b", {}, title), el("p", {}, text)));
}

// Everything above the tasks, drawn from `data`.
function drawPage() {
  const { method, preset, seed, status } = data.summary;
  byId("run").replaceChildren(el("b", {}, data.run.name), ` · ${method} · ${preset} · seed ${seed} · ${status}`);
  byId("headline").textContent = data.headline;
  byId("lead").textContent = lead();
  byId("standing").textContent = data.standing;
  byId("standing").hidden = !data.standing;
  byId("outcome").replaceChildren(accuracyFigure(), levelFigure());
  byId("growing").replaceChildren(passRateFigure(), toolFigure(), stepsFigure());
  byId("health").replaceChildren(...(data.health.length ? data.health.map(finding) : [el("li", {}, "There is nothing to judge yet.")]));
  byId("healthy").replaceChildren(histogramFigure(), labelFigure(), paidFigure(), writingFigure(), rewardFigure(), entropyFigure(), klFigure(), clipFigure());
  byId("time").replaceChildren(timeFigure());
  byId("other").replaceChildren(transferTable(), controlTable());
  byId("config").textContent = data.run.config;
  byId("made").textContent = `Made by coevolve ${data.run.version}. Make it again: coevolve report RUN`;
}

// New data of the same run: everything is drawn again where it stands. Tasks that the new data leaves out stay.
function update(newData) {
  const [x, y] = [window.scrollX, window.scrollY];
  take(newData);
  if (newData.tasks) takeTasks(newData.tasks);
  const open = openFigures();
  drawPage();
  reopenFigures(open);
  if (newData.tasks) refreshTasks();
  queueMicrotask(() => window.scrollTo({ left: x, top: y, behavior: "instant" }));  // after the figures have their height
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
