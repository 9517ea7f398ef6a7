// Puts the page together, and again whenever new data comes.

const MARKS = { good: "✓", watch: "!", bad: "✕" };
const TONES = { good: "good", watch: "worth a look", bad: "needs attention" };

const COUNTS = ["", "agent changes", "two agents change", "three agents change"];

// A large number, from the first value to the last.
function stat({ name, texts, small, agent }) {
  const shown = texts.flatMap((text, i) => (i ? [el("i", {}, "→"), text] : [text]));
  return el("div", { style: agent ? `--of:${agentColour(agent)}` : null }, el("dt", {}, name), el("dd", {}, shown, small ? el("small", {}, small) : null));
}

const wallTime = () => ({ name: data.run.status === "finished" ? "total" : "so far", texts: [seconds(data.time.wall_s)] });

// The agents in their colours, and what each does: "The student learns; the teacher waits."
function agentWords() {
  const words = data.agents.flatMap(({ id, label, does }, i) => [i ? "; the " : "The ", el("span", { class: "key", style: `--of:${agentColour(id)}` }, label), does ? ` ${does}` : ""]);
  return [...words, "."];
}

function finding({ tone, title, text }) {
  return el("li", {}, el("span", { class: `badge ${tone}`, role: "img", "aria-label": TONES[tone] }, MARKS[tone]), el("div", {}, el("b", {}, title), el("p", {}, text)));
}

// Everything above the tasks, drawn from `data`.
function drawPage() {
  const { name, method, preset, seed, status } = data.run;
  byId("run").replaceChildren(el("b", {}, name), ` · ${method} · ${preset} · seed ${seed}${data.live ? "" : ` · ${status}`}`);
  byId("headline").textContent = data.headline;
  byId("lead").textContent = data.lead;
  byId("oracle").textContent = data.oracle;
  byId("oracle").hidden = !data.oracle;
  byId("wall").hidden = Boolean(data.oracle);
  byId("standing").textContent = data.standing;
  byId("standing").hidden = !data.standing || Boolean(data.live);  // a live page says more of it
  byId("stats").replaceChildren(...[...data.stats, ...(data.time.wall_s ? [wallTime()] : [])].map(stat));
  byId("agents-title").textContent = `How the ${COUNTS[data.agents.length] ?? "agents change"}`;
  byId("who").replaceChildren(...agentWords());
  byId("notices").replaceChildren(...data.notices.map(finding));
  byId("notices").hidden = !data.notices.length;
  byId("findings").replaceChildren(...(data.health.length ? data.health.map(finding) : [el("li", {}, "There is nothing to judge yet.")]));
  for (const place of ["outcome", "agents", "health", "other"]) {
    const mine = data.figures.filter((spec) => spec.place === place);
    byId(place).replaceChildren(...mine.map((spec) => DRAWN[spec.kind](spec)));
    if (place === "other") byId(place).parentElement.hidden = !mine.length;
  }
  byId("time").replaceChildren(timeFigure(data.time));
  byId("config").textContent = data.run.config;
  byId("starts").textContent = data.run.provenance;
  byId("provenance").hidden = !data.run.provenance;  // a run of an older version did not say
  byId("made").textContent = `Made by coevolve ${data.run.version}. Make it again: coevolve report RUN`;
}

let kept = null;  // what stands at the upper edge, while the page changes

// Does something that changes the page, and leaves where it is what stands at the upper edge of the window, though
// what is above it may have become longer or shorter.
function keepingPlace(work) {
  if (!kept) {  // else figures are still without their height: what was seen before them counts
    // What is hidden has no place on the page: it would count as standing at the upper edge.
    const part = [...document.querySelectorAll("main section, main .figures, #browser, #time")].findLast((node) => node.getClientRects().length && node.getBoundingClientRect().top < 80);
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
  drawBeforeAfter();
  drawSample();
  if (data.live) follow();
});
