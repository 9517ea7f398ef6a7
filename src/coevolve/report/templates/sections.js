// The figures above the tasks, drawn from what the phases of the run declare: lines, bars and tables.

const PALETTES = 4;  // of agents, by their place in the method
const agentPlace = (id) => Math.max(data.agents.findIndex((agent) => agent.id === id), 0) % PALETTES;
const agentColour = (id, shade = 0) => `var(--agent-${agentPlace(id)}${shade ? `-${shade}` : ""})`;
const ramp = (agent, i, of) => agentColour(agent, of === 1 ? 0 : Math.min(5, 1 + Math.round((i * 4) / (of - 1))));

const isShare = ({ unit }) => unit === "share";
const wholePercent = (value) => `${Math.round(100 * value)}\u00a0%`;
// How a figure writes numbers: at its axis, and where a point is told.
const writing = (spec) => (isShare(spec) ? { show: wholePercent, tell: percent } : { show: (value) => number(value, spec.digits), tell: (value) => number(value, spec.digits && Math.max(2, spec.digits)) });
const linkTo = (filters) => (filters ? () => showTasks(filters) : null);

// Where there is no room for the word at every tick it stands at the first one, and where there is none beside that one, nowhere.
const numbered = (tick) => ({ ...tick, text: tick.text.replace("iteration ", "") });
function shortened(x, width, edges) {
  const room = (width - edges.left - edges.right) / x.ticks.length;
  if (room >= 70) return x;
  const first = x.ticks.findIndex((tick) => tick.text.startsWith("iteration"));
  return { ...x, ticks: x.ticks.map((tick, i) => (room >= 55 && i <= first ? tick : numbered(tick))) };
}

const fromTo = (first, last) => Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);

// Lines over iterations; iteration 0 is the base model. Where an iteration has a mark, a line goes through the plot.
function iterationAxis({ first }) {
  const last = data.run.iterations;
  return {
    low: first, high: Math.max(last, first + 1), ticks: fromTo(first, last).map((t) => ({ at: t, text: t ? `iteration ${t}` : "base" })),
    events: data.notices.filter((notice) => notice.mark && notice.iteration >= first).map(({ iteration, mark: name, text }) => ({ at: iteration, name, text })),
    point: ([t, y, low, high]) => ({ x: t, y, low, high, iteration: t, name: t ? `iteration ${t}` : "base model" }),
  };
}

// Lines over steps: iteration t spans t-1 to t.
function stepAxis() {
  const last = Math.max(data.run.iterations, 1);
  return {
    low: 0, high: last, ticks: fromTo(1, last).map((t) => ({ at: t - 0.5, text: `iteration ${t}` })), borders: fromTo(1, last - 1),
    point: ([t, step, steps, y]) => ({ x: t - 1 + (step - 0.5) / steps, y, part: t, iteration: t, step, name: `iteration ${t}, step ${step}` }),
  };
}

function lineFigure(spec) {
  const overSteps = spec.x === "step";
  const x = overSteps ? stepAxis() : iterationAxis(spec);
  const series = spec.series.map((line) => {
    const colour = line.agent ? agentColour(line.agent, line.shade) : line.strong ? "var(--ink)" : "var(--faint)";
    const ink = line.agent ? agentColour(line.agent) : line.strong ? colour : "var(--soft)";
    const points = line.values.map(x.point).map((point) => ({ ...point, act: linkTo(line.tasks && { ...line.tasks, iteration: String(point.iteration) }) }));
    const interval = points.some((point) => known(point.low));
    return { name: line.name, style: line.style, thin: line.thin, small: overSteps, colour, ink, points, interval, band: interval ? `var(--agent-${agentPlace(line.agent)}-wash)` : null };
  });
  const measured = series.some((line) => line.points.some((point) => known(point.y)));
  const cells = (line, t) => {
    const point = line.points.find(({ iteration }) => iteration === t) ?? {};
    return line.interval ? [point.y, point.low, point.high] : [point.y];
  };
  const head = overSteps ? ["series", "iteration", "step", "value"] : ["iteration", ...series.flatMap((line) => (line.interval ? [line.name, "95 % low", "95 % high"] : [line.name]))];
  const rows = overSteps ? series.flatMap((line) => line.points.map((point) => [line.name, point.iteration, point.step, point.y])) : fromTo(spec.first, data.run.iterations).map((t) => [t, ...series.flatMap((line) => cells(line, t))]);
  const y = { ...(isShare(spec) ? { low: 0, high: 1 } : { low: spec.low, high: spec.high }), ...writing(spec) };
  return figure({
    ...spec, head, rows: measured ? rows : [],
    draw: (width) => lineChart({ width, height: spec.place === "outcome" ? 290 : undefined, series, x: shortened(x, width, edgesOf(series, width)), y, describe: spec.title }),
  });
}

const legendList = (items) => el("ul", { class: "legend" }, items.map(([name, colour]) => el("li", {}, el("i", { style: `background:${colour}` }), name)));

function barFigure(spec) {
  const show = spec.unit ? (value) => (isShare(spec) ? percent(value, spec.digits) : number(value, spec.digits)) : null;
  const groups = spec.panels.flatMap((panel) => panel.groups);
  const chart = ({ groups: mine, title, window: range }, width, height) => barChart({
    width, height, show, window: range && { range, agent: agentPlace(spec.agent) }, describe: title ? `${spec.title}, ${title}` : spec.title,
    bars: spec.labels.map((label, place) => ({
      label: place % spec.every ? null : label,
      groups: mine.map(({ bars }, i) => ({ value: bars[place].value, text: bars[place].text, act: linkTo(bars[place].tasks), colour: bars[place].faded ? "var(--none)" : ramp(spec.agent, i, mine.length) })),
    })),
  });
  return figure({
    ...spec, head: [spec.axis, ...groups.map(({ name }) => name)], rows: groups.length ? spec.labels.map((label, place) => [label, ...groups.map(({ bars }) => bars[place].value)]) : [],
    draw: (width) => {
      if (!spec.panels[0].title) return el("div", {}, legendList(groups.map(({ name }, i) => [name, ramp(spec.agent, i, groups.length)])), chart(spec.panels[0], width, 204));
      const columns = Math.max(1, Math.min(spec.panels.length, Math.floor((width + 14) / 190)));
      const each = (width - 14 * (columns - 1)) / columns;
      return el("div", { class: "small-multiples", style: `grid-template-columns:repeat(${columns},minmax(0,1fr))` },
        spec.panels.map((panel) => el("div", {}, el("h4", {}, panel.title), chart(panel, each, 170))));
    },
  });
}

function tableFigure({ title, note, head, rows }) {
  const cell = (content) => (Array.isArray(content) ? el("span", {}, content[0], content[1] ? el("small", {}, content[1]) : null) : content);
  const shown = rows.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table(head, rows.map((row) => row.map(cell)))) : el("p", { class: "empty" }, "Not measured");
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), el("span", {}, note)), shown);
}

const DRAWN = { lines: lineFigure, bars: barFigure, table: tableFigure };

const WORK = [["sample_s", "sampling", "var(--t1)"], ["train_s", "training", "var(--t2)"], ["tool_s", "tool", "var(--t3)"], ["grade_s", "grading", "var(--t4)"], ["store_s", "storing", "var(--t6)"], ["other_s", "other", "var(--t5)"]];

function timeFigure({ wall_s: wall, cpu_s: cpu, time, tokens, phases }) {
  const rows = phases.map((row) => [row.phase, row.wall_s, ...WORK.map(([key]) => row[key]), row.tokens_sampled, row.tool_calls]);
  const worked = (row) => WORK.reduce((sum, [key]) => sum + (row[key] ?? 0), 0);
  const [longest, total] = [Math.max(...phases.map(worked), 1e-9), worked(time)];
  const calls = phases.reduce((sum, row) => sum + (row.tool_calls ?? 0), 0);
  const bar = (row, describe, of, width, height) => stackedBar({ width, height, total: of, show: seconds, describe, parts: WORK.map(([key, name, colour]) => ({ name, colour, value: row[key] ?? 0 })) });
  return figure({
    title: `${seconds(wall)} in total, ${seconds(cpu)} of CPU time`, note: `${count(tokens.sampled)} tokens sampled, ${count(tokens.trained)} trained, ${count(calls)} tool calls`,
    head: ["phase", "wall_s", ...WORK.map(([key]) => key), "tokens sampled", "tool calls"], rows,
    draw: (width) => {
      const name = Math.min(170, width * 0.4);
      return el("div", { class: "time" }, legendList(WORK.map(([key, label, colour]) => [`${label} ${total ? Math.round((100 * (time[key] ?? 0)) / total) : 0} %`, colour])),
        bar(time, "All phases", total, width, 30),
        el("div", { class: "phases" }, phases.map((row) => el("div", { style: `grid-template-columns:${name}px 1fr` }, el("span", {}, row.phase.replace("iteration-", "").replace("/", " · ")), bar(row, row.phase, longest, width - name - 10, 12)))));
    },
  });
}
