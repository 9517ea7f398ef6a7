// Lines, bars and stacked bars, drawn at the width they have, so that text keeps its size on a phone.

const DASHES = { solid: null, dash: "7 5", dot: "2 4" };

function niceTicks(low, high, wanted = 5) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(+tick.toPrecision(10));
  return ticks;
}

// The first tick at or above the highest value.
function roundedUp(low, highest) {
  const ticks = niceTicks(low, highest);
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : highest - low;
  return ticks[ticks.length - 1] >= highest - step * 1e-6 ? ticks[ticks.length - 1] : +(ticks[ticks.length - 1] + step).toPrecision(10);
}

// Move labels apart so that none covers another; their order stays.
function spread(labels, gap, low, high) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  sorted.forEach((label, i) => { label.at = Math.max(label.y, i ? sorted[i - 1].at + gap : low); });
  for (let i = sorted.length - 1, limit = high; i >= 0; i -= 1) {
    sorted[i].at = Math.min(sorted[i].at, limit);
    limit = sorted[i].at - gap;
  }
  return sorted;
}

function shownValues(series) {
  return series.flatMap((line) => line.points.flatMap((p) => [p.y, p.low, p.high])).filter(known);
}

// The room around a plot of lines: for its axes, and at the right for the names of the lines.
function edgesOf(lines, width) {
  const longest = Math.max(...lines.map((line) => line.name.length), 1);
  return { left: 42, right: Math.min(width * 0.38, 14 + longest * 8.1), top: 10, bottom: 26 };
}

/* series: [{name, colour, style, band, thin, points: [{x, y, low, high, act}]}]
   x: {low, high, ticks: [{at, text}]}, y: {low, high, show, tell}: how a tick and how a point is written
   aligned: the names stand below each other at the right, for lines that end at different places */
function lineChart({ width, height = 230, series, x, y, describe, aligned = false }) {
  const lines = series.filter((line) => line.points.some((p) => known(p.y)));
  const values = shownValues(lines);
  const low = y.low ?? Math.min(...values);
  const high = y.high ?? roundedUp(low, Math.max(...values, low + 1e-9));
  const edge = edgesOf(lines, width);
  const atX = (value) => edge.left + ((value - x.low) / (x.high - x.low || 1)) * (width - edge.left - edge.right);
  const atY = (value) => height - edge.bottom - ((value - low) / (high - low || 1)) * (height - edge.top - edge.bottom);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": describe });
  for (const tick of niceTicks(low, high)) {
    put(chart, [svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: atY(tick), y2: atY(tick) }),
      svg("text", { x: edge.left - 8, y: atY(tick) + 4, "text-anchor": "end" }, y.show(tick))]);
  }
  for (const tick of x.ticks) put(chart, [svg("text", { x: atX(tick.at), y: height - 6, "text-anchor": "middle" }, tick.text)]);
  for (const event of x.events ?? []) {
    put(chart, [svg("g", {}, svg("title", {}, event.text), svg("line", { class: "event", x1: atX(event.at), x2: atX(event.at), y1: edge.top, y2: height - edge.bottom }),
      svg("text", { class: "event-name", x: atX(event.at) + 4, y: height - edge.bottom - 5 }, event.name))]);
  }
  for (const at of x.borders ?? []) put(chart, [svg("line", { class: "axis", x1: atX(at), x2: atX(at), y1: edge.top, y2: height - edge.bottom })]);
  const ends = [];
  for (const line of lines) {
    const points = line.points.filter((p) => known(p.y));
    drawLine(chart, line, points, atX, atY, y.tell ?? y.show);
    const last = points[points.length - 1];
    ends.push({ x: atX(last.x), y: atY(last.y), line });
  }
  if (aligned) ends.forEach((end) => { end.x = width - edge.right; });
  for (const end of spread(ends, 15, edge.top, height - edge.bottom)) {
    put(chart, [svg("text", { class: "label", x: end.x + 9, y: end.at + 4, style: `fill:${end.line.ink ?? end.line.colour}` }, end.line.name)]);
  }
  return chart;
}

function drawLine(chart, line, points, atX, atY, tell) {
  const style = `stroke:${line.colour};fill:none;stroke-width:${line.thin ? 1.75 : 2.5};stroke-linejoin:round;stroke-linecap:round`;
  const broken = (list, i) => !i || list[i].part !== list[i - 1].part;  // a new part of a line starts anew
  const path = (list) => list.map((p, i) => `${broken(list, i) ? "M" : "L"}${atX(p.x).toFixed(1)} ${atY(p.y).toFixed(1)}`).join("");
  if (line.band && points.every((p) => known(p.low))) {
    const outline = path(points.map((p) => ({ x: p.x, y: p.high }))) + path([...points].reverse().map((p) => ({ x: p.x, y: p.low }))).replace("M", "L");
    put(chart, [svg("path", { d: `${outline}Z`, style: `fill:${line.band}` })]);
  }
  put(chart, [svg("path", { d: path(points), style, "stroke-dasharray": DASHES[line.style ?? "solid"] })]);
  for (const point of points) {
    const interval = known(point.low) ? `\n95 % interval ${tell(point.low)} to ${tell(point.high)}` : "";
    const text = `${line.name}, ${point.name}: ${tell(point.y)}${interval}`;
    const [cx, cy] = [atX(point.x), atY(point.y)];
    const radius = line.small ? 0 : line.thin ? 3 : 4;
    const node = mark(text, point.act, svg("circle", { cx, cy, r: line.small ? 7 : 11, style: "fill:transparent" }),
      known(point.low) ? svg("line", { x1: cx, x2: cx, y1: atY(point.low), y2: atY(point.high), style: `stroke:${line.colour};stroke-width:1.5` }) : null,
      svg("circle", { class: "dot", cx, cy, r: radius, style: `fill:${line.style === "solid" || !line.style ? line.colour : "var(--card)"};stroke:${line.colour};stroke-width:1.5` }));
    if (line.small) node.setAttribute("tabindex", "-1");  // a hundred steps are no stops for the keyboard; the data table is
    put(chart, [node]);
  }
}

/* bars: [{label, groups: [{value, colour, text, act}]}]; one group of bars per label; window: {range, agent} is shaded */
function barChart({ width, height = 150, bars, high, show, describe, window: shaded }) {
  const edge = { left: show ? 48 : 4, right: 4, top: 16, bottom: 22 };
  const highest = high ?? Math.max(...bars.flatMap((bar) => bar.groups.map((group) => group.value ?? 0)), 1e-9);
  const top = show ? roundedUp(0, highest) : highest;
  const slot = (width - edge.left - edge.right) / bars.length;
  const atY = (value) => height - edge.bottom - (value / top) * (height - edge.top - edge.bottom);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": describe });
  if (shaded) {
    const [from, to] = shaded.range.map((value) => edge.left + slot * value);
    put(chart, [svg("rect", { x: from, y: edge.top - 12, width: to - from, height: height - edge.bottom - edge.top + 12, style: `fill:var(--agent-${shaded.agent}-wash)` }),
      ...[from, to].map((at) => svg("line", { class: "window", style: `stroke:var(--agent-${shaded.agent})`, x1: at, x2: at, y1: edge.top - 12, y2: height - edge.bottom }))]);
  }
  if (show) {
    for (const tick of niceTicks(0, top)) {
      put(chart, [svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: atY(tick), y2: atY(tick) }),
        svg("text", { x: edge.left - 8, y: atY(tick) + 4, "text-anchor": "end" }, show(tick))]);
    }
  }
  put(chart, [svg("line", { class: "axis", x1: edge.left, x2: width - edge.right, y1: atY(0), y2: atY(0) })]);
  bars.forEach((bar, i) => {
    const wide = Math.min((slot * 0.78) / bar.groups.length, 34);
    const start = edge.left + slot * i + (slot - wide * bar.groups.length) / 2;
    bar.groups.forEach((group, j) => drawBar(chart, group, start + wide * j, wide, atY, !show));
    if (bar.label !== null) put(chart, [svg("text", { x: edge.left + slot * (i + 0.5), y: height - 6, "text-anchor": "middle" }, bar.label)]);
  });
  return chart;
}

function drawBar(chart, group, x, width, atY, numbered) {
  if (!known(group.value)) return;
  const y = atY(group.value);
  const shape = svg("rect", { class: "bar", x: x + 0.75, y, width: Math.max(width - 1.5, 1), height: Math.max(atY(0) - y, group.value ? 1.5 : 0), rx: 2, style: `fill:${group.colour}` });
  const hit = svg("rect", { x, y: atY(0) - Math.max(atY(0) - y, 14), width, height: Math.max(atY(0) - y, 14), style: "fill:transparent" });
  const value = numbered && group.value && width > 13 ? svg("text", { x: x + width / 2, y: y - 4, "text-anchor": "middle" }, group.value) : null;
  put(chart, [mark(group.text, group.value ? group.act : null, hit, shape, value)]);
}

/* parts: [{name, value, colour}] as one horizontal bar */
function stackedBar({ width, height = 26, parts, total, show, describe }) {
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": describe });
  let x = 0;
  for (const part of parts) {
    const size = total ? (part.value / total) * width : 0;
    if (size > 0.3) put(chart, [mark(`${part.name}: ${show(part.value)}`, null, svg("rect", { class: "bar", x, y: 0, width: Math.max(size - 1.5, 0.5), height, rx: 3, style: `fill:${part.colour}` }))]);
    x += size;
  }
  return chart;
}
