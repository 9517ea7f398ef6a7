// What the page shows above the tasks: one function per figure.

const EXECUTOR = "var(--executor)";
const CURRICULUM = "var(--curriculum)";
const ramp = (letter, i, of) => `var(--${letter}${of === 1 ? 4 : Math.min(5, 1 + Math.round((i * 4) / (of - 1)))})`;

const wholePercent = (value) => `${Math.round(100 * value)}\u00a0%`;

const byIteration = (from) => ({
  low: from, high: Math.max(iterations.length - 1, from + 1),
  ticks: iterations.filter((entry) => entry.iteration >= from).map((entry) => ({ at: entry.iteration, text: entry.iteration ? `iteration ${entry.iteration}` : "base" })),
});
// Where there is no room for the word at every tick it stands at the first one, and where there is none beside that one, nowhere.
const numbered = (tick) => ({ ...tick, text: tick.text.replace("iteration ", "") });
const shortened = (x, width) => {
  const room = (width - 130) / x.ticks.length;
  if (room >= 70) return x;
  const first = x.ticks.findIndex((tick) => tick.text.startsWith("iteration"));
  return { ...x, ticks: x.ticks.map((tick, i) => (room >= 55 && i <= first ? tick : numbered(tick))) };
};
const pointName = (t) => (t ? `iteration ${t}` : "base model");

// A line over iterations; `of(entry)` is its value, `more(entry)` adds an interval or an act.
const overIterations = (line, from, of, more = () => ({})) => ({
  ...line,
  points: iterations.filter((entry) => entry.iteration >= from).map((entry) => ({ x: entry.iteration, name: pointName(entry.iteration), y: of(entry), ...more(entry) })),
});

function iterationFigure({ title, note, series, from, y, wide, height }) {
  const found = series.some((line) => line.points.some((p) => known(p.y)));
  const rows = found ? iterations.filter((entry) => entry.iteration >= from).map((entry, i) => [entry.iteration, ...series.flatMap((line) => line.interval ? [line.points[i].y, line.points[i].low, line.points[i].high] : [line.points[i].y])]) : [];
  const head = ["iteration", ...series.flatMap((line) => (line.interval ? [line.name, "95 % low", "95 % high"] : [line.name]))];
  return figure({ title, note, head, rows, wide, draw: (width) => lineChart({ width, height, series, x: { ...shortened(byIteration(from), width), events: eventsFrom(from) }, y, describe: title }) });
}

// Where an iteration was rolled back, as a line through the plot.
const eventsFrom = (from) => data.notices.filter((notice) => notice.event === "rollback" && notice.iteration >= from).map(({ iteration, text }) => ({ at: iteration, name: "rolled back", text }));

function accuracyFigure() {
  const k = iterations.map((entry) => entry.held_out?.k).find(known) ?? 8;
  const held = (key) => (entry) => entry.held_out?.[key];
  const series = [
    overIterations({ name: `mean@${k}`, colour: EXECUTOR, band: "var(--executor-wash)", interval: true }, 0, held("mean_at_8"),
      (entry) => ({ low: entry.held_out?.ci95?.[0], high: entry.held_out?.ci95?.[1], ...toHeldOut(entry) })),
    overIterations({ name: `maj@${k}`, colour: "var(--e3)", ink: EXECUTOR, style: "dash", thin: true }, 0, held("maj_at_8"), (entry) => toHeldOut(entry)),
    overIterations({ name: "greedy", colour: "var(--faint)", ink: "var(--soft)", style: "dot", thin: true }, 0, held("greedy"), (entry) => toHeldOut(entry)),
  ];
  const n = iterations.map((entry) => entry.held_out?.n).find(known);
  return iterationFigure({ title: "Accuracy on held-out problems", note: `${count(n)} problems that no agent ever saw; mean@${k} with 95 % interval, majority of ${k}, and greedy`, series, from: 0, y: { low: 0, high: 1, show: wholePercent, tell: percent }, height: 290 });
}

function levelFigure() {
  const levels = [...new Set(iterations.flatMap((entry) => Object.keys(entry.held_out?.by_level ?? {})))];
  const series = levels.map((level, i) => overIterations({ name: `level ${level}`, colour: ramp("e", i, levels.length), ink: "var(--soft)" }, 0, (entry) => entry.held_out?.by_level?.[level], (entry) => toHeldOut(entry, `level-${level}`)));
  return iterationFigure({ title: "The same by level", note: "the level is the number of chained steps in the problem; mean over samples", series, from: 0, y: { low: 0, high: 1, show: wholePercent, tell: percent }, height: 290 });
}

const toPool = (entry) => ({ act: () => showTasks({ iteration: String(entry.iteration) }) });
const toHeldOut = (entry, set = "") => ({ act: () => showTasks({ origin: "1", iteration: String(entry.iteration), set }) });

function passRateFigure() {
  const series = [overIterations({ name: "pass rate", colour: CURRICULUM }, 1, (entry) => entry.pool?.first_executor_pass_rate, toPool)];
  return iterationFigure({ title: "Difficulty of the tasks", note: "how often the first executor solves the pool of each iteration: falling means harder", series, from: 1, y: { low: 0, high: 1, show: wholePercent, tell: percent } });
}

function toolFigure() {
  const series = [
    overIterations({ name: "held out", colour: EXECUTOR }, 0, (entry) => entry.held_out?.tool_calls, (entry) => toHeldOut(entry)),
    overIterations({ name: "pools", colour: CURRICULUM, style: "dash" }, 0, (entry) => entry.pool?.fixed_executor_tool_calls, toPool),
  ];
  return iterationFigure({ title: "Use of the tool", note: "tool calls per solution: of each executor on held-out problems, and of one fixed executor on the pools", series, from: 0, y: { low: 0, show: (value) => number(value, 1), tell: number } });
}

function multiples({ title, note, panels, head, rows, wide }) {
  return figure({
    title, note, head, rows, wide,
    draw: (width) => {
      const columns = Math.max(1, Math.min(panels.length, Math.floor((width + 14) / 190)));
      const each = (width - 14 * (columns - 1)) / columns;
      return el("div", { class: "small-multiples", style: `grid-template-columns:repeat(${columns},minmax(0,1fr))` },
        panels.map((panel) => el("div", {}, el("h4", {}, panel.title), barChart({ width: each, describe: `${title}, ${panel.title}`, ...panel.chart }))));
    },
  });
}

function stepsFigure() {
  const pools = trained.filter((entry) => entry.pool?.steps_histogram);
  const steps = [...new Set(pools.flatMap((entry) => Object.keys(entry.pool.steps_histogram)))].sort((a, b) => a - b);
  const highest = Math.max(...pools.flatMap((entry) => Object.values(entry.pool.steps_histogram)), 1);
  const panels = [{
    title: "steps in the question",
    chart: {
      high: highest, height: 206, show: pools.length > 1 ? (value) => String(value) : null,
      bars: steps.map((step) => ({
        label: step,
        groups: pools.map((entry, i) => ({
          value: entry.pool.steps_histogram[step] ?? 0, colour: ramp("c", i, pools.length), text: `iteration ${entry.iteration}: ${entry.pool.steps_histogram[step] ?? 0} tasks of ${step} steps`,
          act: () => showTasks({ iteration: String(entry.iteration), steps: step }),
        })),
      })),
    },
  }];
  const legend = pools.map((entry, i) => [`iteration ${entry.iteration}`, ramp("c", i, pools.length)]);
  const rows = steps.map((step) => [step, ...pools.map((entry) => entry.pool.steps_histogram[step] ?? 0)]);
  const frame = figure({
    title: "Length of the questions", note: "tasks of each pool by the number of steps in the question", head: ["steps", ...pools.map((entry) => `iteration ${entry.iteration}`)], rows,
    draw: (width) => el("div", {}, legendList(legend), barChart({ width, describe: "Length of the questions", ...panels[0].chart })),
  });
  return frame;
}

const legendList = (items) => el("ul", { class: "legend" }, items.map(([name, colour]) => el("li", {}, el("i", { style: `background:${colour}` }), name)));

function histogramFigure() {
  const pools = trained.filter((entry) => entry.pool?.p_hat_histogram);
  const panels = pools.map(({ iteration, pool }) => {
    const gate = data.gates[iteration];
    const inside = (bin) => gate && bin / 10 >= gate[0] - 1e-9 && bin / 10 <= gate[1] + 1e-9;
    const bins = pool.p_hat_histogram;
    return {
      title: `iteration ${iteration}: ${pool.kept} of ${pool.size} kept`,
      chart: {
        height: 170, window: gate ? [gate[0] * 10 + 0.05, gate[1] * 10 + 0.95] : null,
        bars: bins.map((value, bin) => ({
          label: bin % 5 ? null : (bin / 10).toFixed(1),
          groups: [{ value, colour: !gate || inside(bin) ? EXECUTOR : "var(--none)", text: `p̂ near ${(bin / 10).toFixed(1)}: ${value} tasks`, act: () => showTasks({ iteration: String(iteration), low: bin ? (bin / 10 - 0.05).toFixed(2) : "0", high: bin < 10 ? (bin / 10 + 0.05).toFixed(2) : "1" }) }],
        })),
      },
    };
  });
  const rows = Array.from({ length: pools.length ? 11 : 0 }, (_, bin) => [bin / 10, ...pools.map((entry) => entry.pool.p_hat_histogram[bin])]);
  return multiples({ title: "How sure the executor is of each task", note: "p̂ is the share of the majority answer among all votes; tasks in the shaded window enter training", panels, rows, head: ["p̂", ...pools.map((entry) => `iteration ${entry.iteration}`)], wide: "wide" });
}

function labelFigure() {
  const series = [
    overIterations({ name: "kept", colour: EXECUTOR }, 1, (entry) => entry.pool?.label_accuracy_kept, (entry) => ({ act: () => showTasks({ iteration: String(entry.iteration), fate: "kept", label: "right" }) })),
    overIterations({ name: "all", colour: "var(--e3)", ink: EXECUTOR, style: "dash", thin: true }, 1, (entry) => entry.pool?.label_accuracy_all, (entry) => ({ act: () => showTasks({ iteration: String(entry.iteration), label: "right" }) })),
  ];
  return iterationFigure({ title: "Pseudo-labels that are right", note: "majority answers compared with the truth, which is known to the meter only", series, from: 1, y: { low: 0, high: 1, show: wholePercent, tell: percent } });
}

function writingFigure() {
  const series = [
    overIterations({ name: "well formed", colour: CURRICULUM }, 1, (entry) => entry.pool?.well_formed, toPool),
    overIterations({ name: "duplicates", colour: "var(--c3)", ink: CURRICULUM, style: "dash", thin: true }, 1, (entry) => entry.pool?.duplicates, toPool),
  ];
  return iterationFigure({ title: "Well-formed and new questions", note: "share of the written questions that follow the grammar, and that were written before", series, from: 1, y: { low: 0, high: 1, show: wholePercent, tell: percent } });
}

// Steps of a phase on the axis of iterations: iteration t spans t-1 to t.
const stepLine = (line, phase, key) => ({
  ...line, small: true,
  points: data.steps[phase].map((row) => ({ x: row.iteration - 1 + (row.step - 0.5) / row.steps, y: row[key], part: row.iteration, name: `iteration ${row.iteration}, step ${row.step}`, ...toPool(row) })),
});

function stepFigure({ title, note, lines, y, wide }) {
  const series = lines.map(([line, phase, key]) => stepLine(line, phase, key));
  const found = series.some((line) => line.points.some((p) => known(p.y)));
  const last = Math.max(trained.length, 1);
  const x = { low: 0, high: last, ticks: trained.map((entry) => ({ at: entry.iteration - 0.5, text: `iteration ${entry.iteration}` })), borders: Array.from({ length: last - 1 }, (_, i) => i + 1) };
  const rows = found ? lines.flatMap(([line, phase, key]) => data.steps[phase].map((row) => [line.name, row.iteration, row.step, row[key]])) : [];
  return figure({ title, note, head: ["series", "iteration", "step", "value"], rows, wide, draw: (width) => lineChart({ width, series, x: shortened(x, width), y, describe: title }) });
}

function rewardFigure() {
  const parts = [["reward", "total", CURRICULUM, "solid"], ["r_unc", "uncertainty", "var(--c3)", "dash"], ["r_tool", "tool", "var(--c5)", "dot"], ["r_rep", "repetition", "var(--faint)", "dash"], ["format", "format", "var(--faint)", "solid"]];
  return stepFigure({ title: "What the curriculum agent is rewarded for", note: "mean parts of the reward over its training steps; repetition is subtracted",
    lines: parts.map(([key, name, colour, style]) => [{ name, colour, style, ink: name === "total" ? CURRICULUM : "var(--soft)", thin: name !== "total" }, "curriculum", key]), y: { show: (value) => number(value, 1), tell: number }, wide: "two" });
}

function paidFigure() {
  return stepFigure({ title: "Reward and truth of the executor", note: "agreement with the pseudo-labels, and how often the answer was really right (known to the meter only)",
    lines: [[{ name: "reward", colour: EXECUTOR }, "executor", "reward"], [{ name: "right", colour: "var(--ink)", style: "dot" }, "executor", "true_accuracy"]], y: { low: 0, high: 1, show: wholePercent, tell: percent } });
}

const bothAgents = (key) => [[{ name: "curriculum", colour: CURRICULUM }, "curriculum", key], [{ name: "executor", colour: EXECUTOR }, "executor", key]];

const entropyFigure = () => stepFigure({ title: "Entropy", note: "nats per sampled token; a fall to zero means that an agent always writes the same", lines: bothAgents("entropy"), y: { low: 0, show: (value) => number(value, 1), tell: number } });
const klFigure = () => stepFigure({ title: "Distance from the reference", note: "KL per token, to the base model (curriculum) and to the iteration's first executor; measured where its coefficient is not 0", lines: bothAgents("kl"), y: { low: 0, show: (value) => number(value, 3) } });

// Only where the metrics have it.
function voteFigure() {
  if (!trained.some((entry) => known(entry.pool?.vote_entropy))) return null;
  const series = [overIterations({ name: "votes", colour: EXECUTOR }, 1, (entry) => entry.pool?.vote_entropy, toPool)];
  return iterationFigure({ title: "Disagreement of the votes", note: "mean entropy of the votes on a task, in nats: 0 when all answers are the same", series, from: 1, y: { low: 0, show: (value) => number(value, 1), tell: number } });
}

function skippedFigure() {
  const skipped = Object.values(data.steps).flat().some((row) => row.skipped_updates);
  return skipped ? stepFigure({ title: "Updates left out", note: "updates whose loss or gradient was not finite, or exploded: the weights stayed as they were", lines: bothAgents("skipped_updates"), y: { low: 0, show: (value) => number(value, 0) } }) : null;
}

const BINS = ["< .3", ".3–.5", ".5–.7", ".7–.8", "> .8"];

// Mean over the steps of an iteration, each step weighted by the tokens it trained in the bin.
function clipShare(rows, bin) {
  const used = rows.filter((row) => known(row.clip_fraction_by_p_hat?.[bin]) && row.tokens_by_p_hat?.[bin]);
  const tokens = used.reduce((sum, row) => sum + row.tokens_by_p_hat[bin], 0);
  return tokens ? used.reduce((sum, row) => sum + row.clip_fraction_by_p_hat[bin] * row.tokens_by_p_hat[bin], 0) / tokens : null;
}

function clipFigure() {
  const present = trained.map((entry) => entry.iteration).filter((t) => data.steps.executor.some((row) => row.iteration === t));
  const share = (t, bin) => clipShare(data.steps.executor.filter((row) => row.iteration === t), bin);
  const rows = present.length ? BINS.map((name, bin) => [name, ...present.map((t) => share(t, bin))]) : [];
  const bars = BINS.map((label, bin) => ({ label, groups: present.map((t, i) => ({ value: share(t, bin), colour: ramp("e", i, present.length), text: `iteration ${t}, p̂ ${label}: ${percent(share(t, bin), 2)} of tokens clipped` })) }));
  return figure({ title: "Clipped tokens by p̂", note: "share of trained tokens whose ratio met a clip bound, by how ambiguous the task is", head: ["p̂", ...present.map((t) => `iteration ${t}`)], rows, wide: "two",
    draw: (width) => el("div", {}, legendList(present.map((t, i) => [`iteration ${t}`, ramp("e", i, present.length)])), barChart({ width, height: 200, bars, show: (value) => percent(value, 2), describe: "Clipped tokens by p̂" })) });
}

const WORK = [["sample_s", "sampling", "var(--t1)"], ["train_s", "training", "var(--t2)"], ["tool_s", "tool", "var(--t3)"], ["grade_s", "grading", "var(--t4)"], ["store_s", "storing", "var(--t6)"], ["other_s", "other", "var(--t5)"]];

function timeFigure() {
  const rows = data.timings.map((row) => [row.phase, row.wall_s, ...WORK.map(([key]) => row[key]), row.tokens_sampled, row.tool_calls]);
  const worked = (row) => WORK.reduce((sum, [key]) => sum + (row[key] ?? 0), 0);
  const longest = Math.max(...data.timings.map(worked), 1e-9);
  const total = WORK.reduce((sum, [key]) => sum + (data.summary.time[key] ?? 0), 0);
  const { sampled, trained: learned } = data.summary.tokens;
  const calls = data.timings.reduce((sum, row) => sum + (row.tool_calls ?? 0), 0);
  const bar = (row, size, of, width, height) => stackedBar({ width, height, total: of, show: seconds, describe: size, parts: WORK.map(([key, name, colour]) => ({ name, colour, value: row[key] ?? 0 })) });
  return figure({
    title: `${seconds(data.summary.wall_s)} in all, ${seconds(data.summary.cpu_s)} of CPU time`, note: `${count(sampled)} tokens sampled, ${count(learned)} trained, ${count(calls)} tool calls`,
    head: ["phase", "wall_s", ...WORK.map(([key]) => key), "tokens sampled", "tool calls"], rows,
    draw: (width) => {
      const name = Math.min(170, width * 0.4);
      return el("div", { class: "time" }, legendList(WORK.map(([key, label, colour]) => [`${label} ${total ? Math.round((100 * (data.summary.time[key] ?? 0)) / total) : 0} %`, colour])),
        bar(data.summary.time, "All phases", total, width, 30),
        el("div", { class: "phases" }, data.timings.map((row) => el("div", { style: `grid-template-columns:${name}px 1fr` }, el("span", {}, row.phase.replace("iteration-", "").replace("/", " · ")), bar(row, row.phase, longest, width - name - 10, 12)))));
    },
  });
}

const interval = ([low, high]) => `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`;
const withInterval = (entry) => (entry ? el("span", {}, percent(entry.mean ?? entry.mean_at_8), entry.ci95 ? el("small", {}, interval(entry.ci95)) : null) : "–");

function tableCard(title, note, head, rows) {
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), el("span", {}, note)), rows.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table(head, rows)) : el("p", { class: "empty" }, "Not measured"));
}

function transferTable() {
  const sets = [...new Set(iterations.flatMap((entry) => Object.keys(entry.transfer ?? {})))];
  const measured = iterations.filter((entry) => entry.transfer);
  return tableCard("Transfer", "problems of kinds that are rare in, or absent from, what the base model knows; 95 % interval below", ["set", ...measured.map((entry) => (entry.iteration ? `iteration ${entry.iteration}` : "base"))],
    sets.map((name) => [name.replaceAll("_", " "), ...measured.map((entry) => withInterval(entry.transfer[name]))]));
}

function controlTable() {
  const names = { fence_forced_base: "base model, made to open a code block" };
  const measured = iterations.filter((entry) => entry.held_out);
  const row = (name, entry) => [name, withInterval(entry), number(entry.tool_calls, 1)];
  const controls = Object.entries(data.summary.controls).map(([name, entry]) => row(names[name] ?? name.replaceAll("_", " "), entry));
  if (!controls.length) return tableCard("Controls", "what a part of the change would give alone", [], []);
  const ends = measured.length > 1 ? [measured[0], measured[measured.length - 1]] : measured;
  return tableCard("Controls", "is it more than opening a code block? mean@k on the same held-out problems, 95 % interval below", ["", "accuracy", "tool calls"],
    [...ends.map((entry) => row(entry.iteration ? `executor after iteration ${entry.iteration}` : "base model", entry.held_out)), ...controls]);
}
