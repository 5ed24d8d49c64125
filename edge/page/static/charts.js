// The charts: lanes of labels and lines of numbers over the last minutes, as SVG. They know nothing of the network.

const SVG = "http://www.w3.org/2000/svg";
const SPANS = [60, 120, 300, 600]; // seconds that a chart may show
const GAP = 3; // seconds without a sample are a gap, not a line
const WIDTH = 600;

const make = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const told = (name, text, kind = "") => {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

// The shortest span that holds all samples ({at: seconds}), and where a time is in it.
const span = (samples, now) => {
  const oldest = samples.length ? now - samples[0].at : 0;
  return SPANS.find((each) => oldest <= each) ?? SPANS.at(-1);
};

const place = (at, now, seconds) => WIDTH * (1 - (now - at) / seconds);

export const spanText = (samples, now) => {
  const seconds = span(samples, now);
  return seconds === 60 ? "last minute" : `last ${seconds / 60} minutes`;
};

// A lane for each label; samples are {at, label, group}.
export const drawLanes = (where, labels, samples, now) => {
  const seconds = span(samples, now), height = 10;
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${height * labels.length}`, preserveAspectRatio: "none", role: "img" });
  const held = Object.fromEntries(labels.map((label) => [label, 0]));
  labels.forEach((_, lane) => svg.append(make("line", { x1: 0, x2: WIDTH, y1: height * (lane + 1), y2: height * (lane + 1) })));
  let total = 0;
  samples.forEach((sample, number) => {
    const until = Math.min(samples[number + 1]?.at ?? now, sample.at + GAP, now);
    const lane = labels.indexOf(sample.label), left = Math.max(0, place(sample.at, now, seconds));
    const width = place(until, now, seconds) - left;
    if (lane < 0 || width <= 0) return;
    held[sample.label] += until - sample.at;
    total += until - sample.at;
    svg.append(make("rect", { x: left, y: lane * height + 1.5, width: width + 0.4, height: height - 3, class: sample.group }));
  });
  const share = (label) => (total ? Math.round((100 * held[label]) / total) : 0);
  const shares = labels.filter(share).map((label) => `${label} ${share(label)} %`);
  svg.setAttribute("aria-label", shares.length ? `Shares of the time with a face: ${shares.join(", ")}` : "No face yet");
  const rows = labels.flatMap((label) => [told("span", label), told("span", share(label) ? `${share(label)} %` : "", "share")]);
  where.replaceChildren(...rows, svg);
};

// Lines of numbers; each line is {name, of: sample => number, kind}.
export const drawLines = (where, lines, samples, now) => {
  const seconds = span(samples, now), height = 100;
  const most = nice(Math.max(1, ...samples.flatMap((sample) => lines.map((line) => line.of(sample)))));
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" });
  for (const y of [0, height / 2, height]) svg.append(make("line", { x1: 0, x2: WIDTH, y1: y, y2: y }));
  const key = told("p", "", "key"), words = [];
  for (const line of lines) {
    for (const points of unbroken(samples)) {
      const text = points.map((each) => `${place(each.at, now, seconds).toFixed(1)},${(height * (1 - line.of(each) / most)).toFixed(1)}`);
      svg.append(make("polyline", { points: text.join(" "), class: line.kind ?? "" }));
    }
    const last = samples.length ? line.of(samples.at(-1)).toFixed(1) : "–";
    key.append(told("span", "", `swatch ${line.kind ?? ""}`), `${line.name} `, told("b", last), " ");
    words.push(`${line.name} ${last}`);
  }
  svg.setAttribute("aria-label", words.join(", "));
  where.replaceChildren(told("span", most, "top"), told("span", "0", "bottom"), svg, key);
};

const unbroken = (samples) => {
  const runs = [];
  samples.forEach((sample, number) => {
    if (!number || sample.at - samples[number - 1].at > GAP) runs.push([]);
    runs.at(-1).push(sample);
  });
  return runs;
};

const nice = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 8, 10].map((each) => each * power).find((each) => each >= value);
};
