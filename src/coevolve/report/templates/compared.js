// The page of several settings side by side. A setting keeps its colour, dash and place in every figure.

const data = JSON.parse(byId("data").textContent);
const { settings } = data;
const STROKES = ["solid", "dash", "dot"];
const look = settings.map((setting, i) => ({
  name: setting.label, colour: `var(--v${i % 6})`, ink: `var(--v${i % 6})`, style: STROKES[Math.floor(i / 6 + i) % 3],
}));
const wholePercent = (value) => `${Math.round(100 * value)}\u00a0%`;
const points = (value, digits = 1) => {
  if (!known(value)) return "–";
  const size = Math.abs(100 * value).toFixed(digits);
  return `${Number(size) === 0 ? "" : value > 0 ? "+" : "−"}${size}`;
};
const after = (t) => (t ? `iteration ${t}` : "base model");
const withBounds = ({ mean, low, high }) => el("span", {}, percent(mean), known(low) ? el("small", {}, `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`) : null);

// Curves side by side: intervals of the same iteration stand next to each other instead of on top of each other.
function curves({ title, note, from, of, y, height }) {
  const last = from + Math.max(...settings.map((setting) => of(setting).length)) - 1;
  const step = Math.min(0.12, 0.5 / settings.length);
  const series = settings.map((setting, i) => ({
    ...look[i],
    points: of(setting).map((found, t) => ({
      x: from + t + (i - (settings.length - 1) / 2) * step, name: after(from + t), y: found.mean, low: found.low, high: found.high,
    })),
  }));
  const found = series.some((line) => line.points.some((p) => known(p.y)));
  const ticks = Array.from({ length: last - from + 1 }, (_, t) => ({ at: from + t, text: from + t ? `${from + t}` : "base" }));
  const rows = found ? settings.flatMap((setting) => of(setting).map((p, t) => [setting.label, from + t, p.mean, p.low, p.high])) : [];
  return figure({
    title, note, head: ["setting", "iteration", "mean", "95 % low", "95 % high"], rows,
    draw: (width) => lineChart({ width, height, series, x: { low: from - 0.3, high: last + 0.3, ticks }, y, describe: title, aligned: true }),
  });
}

// One row per setting: the difference to the first one, its interval, and the line of no difference.
function forest() {
  const rows = settings.filter((setting) => setting.difference);
  const draw = (width) => {
    const gap = Math.max(44, Math.min(72, 240 / rows.length));
    const height = gap * rows.length + 34;
    const left = Math.min(width * 0.4, 20 + 8 * Math.max(...rows.map((row) => row.label.length)));
    const bounds = rows.flatMap(({ difference: d }) => [d.low, d.high, 0]);
    const [low, high] = [Math.min(...bounds), Math.max(...bounds)];
    const margin = (high - low || 0.01) * 0.06;
    const at = (value) => left + ((value - low + margin) / (high - low + 2 * margin)) * (width - left - 12);
    const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": "Differences" });
    for (const tick of niceTicks(low - margin, high + margin, width < 420 ? 3 : 5)) {
      put(chart, [svg("line", { class: "grid", x1: at(tick), x2: at(tick), y1: 4, y2: height - 24 }),
        svg("text", { x: at(tick), y: height - 6, "text-anchor": "middle" }, points(tick, Math.abs(high - low) < 0.02 ? 1 : 0))]);
    }
    put(chart, [svg("line", { x1: at(0), x2: at(0), y1: 4, y2: height - 24, style: "stroke:var(--soft);stroke-width:1.5" })]);
    rows.forEach(({ label, difference: d }, i) => {
      const y = gap * (i + 0.5);
      const told = d.verdict === "higher" || d.verdict === "lower";
      const { colour } = look[settings.findIndex((setting) => setting.label === label)];
      put(chart, [svg("text", { class: "label", x: 0, y: y + 4, style: `fill:${colour}` }, label),
        mark(`${label}: ${points(d.mean)} points\n95 % interval ${points(d.low)} to ${points(d.high)}\n${d.verdict}`, null,
          svg("rect", { x: at(d.low), y: y - 12, width: Math.max(at(d.high) - at(d.low), 8), height: 24, style: "fill:transparent" }),
          svg("line", { x1: at(d.low), x2: at(d.high), y1: y, y2: y, style: `stroke:${colour};stroke-width:3;stroke-linecap:round` }),
          svg("circle", { class: "dot", cx: at(d.mean), cy: y, r: 6, style: `fill:${told ? colour : "var(--card)"};stroke:${colour};stroke-width:2` }))]);
    });
    return chart;
  };
  return figure({
    title: `Difference to ${settings[0].label}`, note: `points of accuracy after ${after(data.iteration)}, with 95 % interval; filled: the interval over problems and seeds excludes 0`,
    head: ["setting", "difference", "95 % low", "95 % high", "verdict"], rows: rows.map(({ label, difference: d }) => [label, d.mean, d.low, d.high, d.verdict]), draw,
  });
}

function card(title, note, head, rows) {
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), note ? el("span", {}, note) : null),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table(head, rows)));
}

function levelCard() {
  const levels = Object.keys(settings[0].levels);
  return card("By level", `held-out accuracy after ${after(data.iteration)}; 95 % interval below`, ["setting", "seeds", ...levels.map((level) => `level ${level}`), "all"],
    settings.map((setting) => [setting.label, setting.seeds.join(", "), ...levels.map((level) => withBounds(setting.levels[level])), withBounds(setting.mean)]));
}

const share = { low: 0, high: 1, show: wholePercent, tell: percent };
const plain = { show: (value) => number(value, 1), tell: number };
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// A quantity over the iterations that have one.
const quantity = ({ key, heading, meaning, unit, first }) => curves({ title: capital(heading), note: meaning, y: unit === "share" ? share : plain, from: first, of: (setting) => setting.quantities[key] });

// What every setting was measured on beside the held-out problems: one row per suite and setting.
function suitesCard() {
  const difference = ({ difference: d }) => (d ? el("span", {}, points(d.mean), el("small", {}, `${points(d.low)} to ${points(d.high)}, ${d.verdict}`)) : "–");
  return card("Accuracy on suites", `mean@k of the base model and after ${after(data.iteration)}; 95 % interval below; differences to the first setting on the same problems`,
    ["suite", "problems", "setting", "base model", after(data.iteration), "difference"],
    data.suites.map((row) => [row.suite, row.n, row.label, withBounds(row.curve[0]), withBounds(row.curve[row.curve.length - 1]), difference(row)]));
}

function configCard() {
  const keys = Object.keys(data.config);
  const text = (value) => el("pre", {}, typeof value === "string" ? value : JSON.stringify(value));
  return keys.length ? card("Keys that differ", null, ["key", ...settings.map((setting) => setting.label)], keys.map((key) => [key, ...settings.map((setting) => text(data.config[key][setting.label]))]))
    : el("p", { class: "intro" }, settings.length > 1 ? "Nothing but seeds and folders." : "There is one setting only.");
}

function draw() {
  const runs = settings.reduce((sum, setting) => sum + setting.seeds.length, 0);
  byId("what").replaceChildren(el("b", {}, settings.map((setting) => setting.label).join(" · ")), ` · ${runs} run${runs > 1 ? "s" : ""} · compared after ${after(data.iteration)}`);
  byId("notes").replaceChildren(...(data.notes.length ? [el("div", { class: "standing" }, data.notes.map((note) => el("p", {}, note)))] : []));
  byId("outcome").replaceChildren(
    curves({ title: data.outcome === "held-out accuracy" ? "Accuracy on held-out problems" : capital(data.outcome), note: "mean@k by iteration; 95 % interval over problems and, where there are several, seeds", from: 0, of: (setting) => setting.curve, y: share, height: 300 }),
    ...(settings.length > 1 ? [forest()] : []), ...(data.suites.length ? [suitesCard()] : []));
  byId("sentences").replaceChildren(...data.sentences.map((text) => el("li", {}, text)));
  byId("levels").replaceChildren(levelCard());
  byId("more").replaceChildren(...data.figures.map(quantity));
  byId("config").replaceChildren(configCard());
  byId("made").textContent = `Made by coevolve ${data.version}. Make it again: coevolve compare RUN... --html FILE`;
}

themes();
draw();
