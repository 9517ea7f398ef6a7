// A page that follows its run: what the run does at this moment, and new data as soon as there is some.

const STATES = {
  running: "Running", finished: "Finished", interrupted: "Interrupted", failed: "Failed", stopped: "Stopped", unreadable: "Cannot be read", waiting: "Waiting",
};
const TICK_MS = 1000;
const bytes = (value) => (value >= 1e9 ? `${number(value / 1e9, 1)}\u00a0GB` : `${count(value / 1e6)}\u00a0MB`);
const kindOf = (name) => data.phases[name] ?? { title: name, activity: "", agent: "", shade: 0 };
const phaseTitle = ({ iteration, name }) => `${iteration ? `iteration ${iteration}` : "base model"} · ${kindOf(name).title}`;

function timeLeft(left) {
  if (left < 90) return `about ${Math.max(5, Math.round(left / 5) * 5)} s left`;
  return left < 5400 ? `about ${Math.round(left / 60)} min left` : `about ${(left / 3600).toFixed(1)} h left`;
}

// The share of a phase that is done: its steps, or the time it has taken of what its kind takes; never quite all.
function shareDone(phase, news, now) {
  if (phase.finished) return 1;
  const { current, done, began, state } = news;
  if (!current || current.name !== phase.name || current.iteration !== phase.iteration) return 0;
  if (known(done)) return Math.min(done / current.steps, 1);
  return state === "running" && phase.seconds ? Math.min((now - began) / phase.seconds, 0.95) : 0;
}

// All phases on one line, as wide as they take long, an iteration at a time.
function course(news, now) {
  const groups = [...new Set(news.phases.map((phase) => phase.iteration))];
  return el("ol", { class: "course", "aria-label": "Phases of the run" }, groups.map((iteration) => {
    const mine = news.phases.filter((phase) => phase.iteration === iteration);
    const here = news.current?.iteration === iteration;
    const total = mine.reduce((sum, phase) => sum + phase.seconds, 0);
    return el("li", { class: here ? "here" : mine.every((phase) => phase.finished) ? "" : "ahead", style: `flex:${Math.max(total, 0.001)} 1 0` },
      el("div", { class: "phases" }, mine.map((phase) => {
        const share = shareDone(phase, news, now);
        const current = here && news.current.name === phase.name;
        const { agent, shade } = kindOf(phase.name);
        return el("span", { class: `phase${current ? " current" : ""}`, style: `flex-grow:${Math.max(phase.seconds, 0.001)};--of:${agent ? agentColour(agent, shade) : "var(--faint)"}`, title: `${phaseTitle(phase)}: ${phase.finished ? "finished" : percent(share, 0)}` }, el("i", { style: `width:${100 * share}%` }));
      })), el("small", {}, iteration ? `iteration ${iteration}` : "base"));
  }));
}

const ADVICE = {
  stopped: "No process on this machine writes to this run any more: it was killed, or it runs on another machine. Go on with",
  interrupted: "Everything that was finished is kept. Go on with", failed: "What went wrong stands where it was started. When that is mended, go on with",
};

function doing(news, now) {
  const { state, current, done, left_s: left, left_from: from } = news;
  const where = state !== "finished" && current ? ` · ${phaseTitle(current)}${known(done) ? ` · step ${done} of ${current.steps}` : ""}` : "";
  const rest = state === "running" && known(left) ? timeLeft(Math.max(left - (now - from), 0)) : state === "running" ? "" : `last change ${new Date(1000 * news.changed).toLocaleString()}`;
  return [
    el("p", { class: "doing" }, el("span", {}, el("b", { class: `state ${state}` }, STATES[state] ?? state), where), el("span", { class: "left" }, rest)),
    ADVICE[state] ? el("p", {}, ADVICE[state], " ", el("code", {}, `coevolve resume ${news.path}`)) : null,
  ];
}

function machineFacts({ machine, process, workers, sandbox }) {
  const layers = Object.entries(sandbox ?? {}).filter(([, state]) => String(state).startsWith("on")).map(([name]) => name.replaceAll("_", " "));
  const parts = machine ? [
    `process ${process}`, known(machine.memory_bytes) ? `${bytes(machine.memory_bytes)} in memory` : null, workers ? `${workers} rollout worker${workers === 1 ? "" : "s"}` : null,
    `load ${number(machine.load, 1)} on ${machine.cores} core${machine.cores === 1 ? "" : "s"}`, known(machine.disk_free_bytes) ? `${bytes(machine.disk_free_bytes)} free on the disk` : null,
  ] : [];
  if (layers.length) parts.push(`sandbox: ${layers.join(", ")}`);
  return el("p", { class: "machine" }, parts.filter(Boolean).map((part) => el("span", {}, part)));
}

function drawNow(news, skew) {
  const now = Date.now() / 1000 + skew;
  const facts = Object.entries(news.facts ?? {}).map(([name, value]) => el("span", {}, `${name} `, el("b", {}, number(value))));
  if (!facts.length) facts.push(el("span", { class: "soft" }, kindOf(news.current?.name).activity || "no step is finished yet"));  // a line is there, so that nothing jumps
  byId("now").replaceChildren(...[
    ...doing(news, now), news.state === "running" ? el("p", { class: "numbers" }, facts) : null,
    news.phases && news.state !== "finished" ? course(news, now) : null, machineFacts(news), news.problem ? el("pre", { class: "problem" }, news.problem) : null,
  ].filter(Boolean));
  byId("now").hidden = false;
}

function follow() {
  const title = document.title;
  let news = null;
  let skew = 0;  // of the server's clock against ours, in seconds
  let works = false;
  const say = () => {
    const running = news?.state === "running";
    const mark = byId("live");
    mark.textContent = !works ? "connection lost, trying again" : running ? "live" : (STATES[news?.state] ?? "live").toLowerCase();
    mark.className = works ? (running ? "live" : "live still") : "live lost";
    mark.hidden = false;
    if (!news?.phases) return;
    keepingPlace(() => drawNow(news, skew));
    document.title = running && news.current ? `${known(news.done) ? `${news.done}/${news.current.steps} ` : ""}${kindOf(news.current.name).title} · ${title}` : title;
  };
  const bringData = oneAtATime(async () => {
    try {
      const { page, tasks: listed } = await askFor(data.live.data, { tasks: data.live.versions.tasks });
      if (page) update(listed ? { ...page, tasks: listed } : page);
    } catch (error) {
      news = { ...news, problem: `The newest data did not arrive: ${error.message}` };
    }
    say();
  });
  hear(data.live.events, (told) => {
    if (known(told.now)) skew = told.now - Date.now() / 1000;
    news = { ...told, phases: told.phases ?? news?.phases };
    say();
    if (told.versions.data && told.versions.data !== data.live.versions.data) bringData();
  }, (open) => { works = open; say(); });
  setInterval(() => { if (!document.hidden && works && news?.state === "running") say(); }, TICK_MS);
}
