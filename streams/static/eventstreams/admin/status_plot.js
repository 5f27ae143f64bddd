// A small plot of the last hour as SVG.

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 360;
const HEIGHT = 60;

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Lines over the known values; what is not known is a gap.
function lines(values, most) {
  const found = [];
  let line = [];
  values.forEach((value, index) => {
    if (value === null) {
      if (line.length) found.push(line);
      line = [];
      return;
    }
    const x = POINTS - values.length + index + 0.5;
    const y = HEIGHT - 2 - (value / most) * (HEIGHT - 6);
    line.push([x, y]);
  });
  if (line.length) found.push(line);
  return found;
}

export function plot(title, values, show) {
  const figure = document.createElement("figure");
  const known = values.filter((value) => value !== null);
  const most = Math.max(0, ...known);
  const last = values.length ? values[values.length - 1] : null;
  const caption = document.createElement("figcaption");
  const name = document.createElement("span");
  name.textContent = title;
  const now = document.createElement("strong");
  now.textContent = last === null ? (values.length ? "unknown" : "…") : show(last);
  caption.append(name, now);
  const image = svg("svg", { viewBox: `0 0 ${POINTS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  image.setAttribute("aria-label", `${title} in the last hour: at most ${show(most)}, now ${now.textContent}`);
  image.append(svg("line", { x1: 0, x2: POINTS, y1: HEIGHT - 1, y2: HEIGHT - 1, class: "status-axis" }));
  for (const line of lines(values, most || 1)) {
    const [first, end] = [line[0][0], line[line.length - 1][0]];
    const points = line.map(([x, y]) => `${x},${y.toFixed(1)}`).join(" ");
    image.append(
      svg("polygon", { points: `${first},${HEIGHT - 1} ${points} ${end},${HEIGHT - 1}`, class: "status-area" }),
      svg("polyline", { points, class: "status-line" }),
    );
  }
  const scale = document.createElement("div");
  scale.className = "status-scale";
  for (const text of ["1 hour ago", `at most ${show(most)}`, "now"]) {
    const label = document.createElement("span");
    label.textContent = text;
    scale.append(label);
  }
  figure.append(caption, image, scale);
  return figure;
}
