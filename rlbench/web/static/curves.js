// Draws the curve of a run, or those of several over each other, as the server sends them: column by column of pixels.
"use strict";

const MOST_COLORS = 8, HEIGHT = 340, PAUSE = 2000;
const figure = document.querySelector("[data-curve]"), choices = document.getElementById("curve-choices");
const place = figure.querySelector(".drawn"), whole = choices.querySelector("[type=reset]");
let chart = null, shown = null, span = null, chosen = null;

const ink = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const columns = () => Math.max(50, Math.min(4000, Math.round(place.clientWidth * devicePixelRatio)));

function address() {
  const url = new URL(figure.dataset.curve, location.href);
  for (const [name, value] of new FormData(choices)) url.searchParams.set(name, value);
  url.searchParams.set("pixels", columns());
  if (span) {
    url.searchParams.set("from", span[0]);
    url.searchParams.set("to", span[1]);
  }
  return url;
}

let latest = 0;
async function load() {
  const mine = ++latest;
  figure.dataset.asked = performance.now();
  const answer = await fetch(address(), {headers: {accept: "application/json"}}).catch(() => null);
  document.body.dispatchEvent(new Event("curves-came"));  // the scores take what was read for the curves
  if (mine !== latest || answer === null) return;
  const told = await answer.json();
  if (!answer.ok) {
    chart?.destroy();
    chart = null;
    place.textContent = told.error;
    return;
  }
  shown = told;
  draw();
  if (figure.hasAttribute("data-running") && told.running !== false) setTimeout(load, PAUSE);
}

const color = i => ink(`--c${i % MOST_COLORS}`);
const faint = (i, percent) => `color-mix(in srgb, ${color(i)} ${percent}%, transparent)`;
const number = value => value === null || value === undefined ? "–" : value.toLocaleString("en", {maximumFractionDigits: 4});

function lines() {
  return shown.lines ?? [{label: choices.figure.selectedOptions[0].text, ...shown}];
}

function series() {
  const one = !shown.lines;
  return lines().flatMap((line, i) => {
    const looked = chosen === null || chosen === i;
    const width = chosen === i ? 3 : 2;
    const edge = {width: 0, points: {show: false}, ...(one ? {} : {class: "unlisted"}), value: (_, v) => number(v)};
    return [
      {...edge, label: "least"},
      {...edge, label: "greatest", ...(one && isSparse() ? {points: {show: true, size: 4, fill: faint(i, 45), width: 0}} : {})},
      {label: one ? "smoothed" : line.label, stroke: looked ? color(i) : faint(i, 25), width, points: {show: false},
       dash: i >= MOST_COLORS ? [7, 4] : [], value: (_, v) => number(v)},
    ];
  });
}

function isSparse() {  // each episode has a column of its own: a band would have no height
  return shown.low.every((low, i) => low === shown.high[i]);
}

function bands() {
  const all = lines();
  return all.map((line, i) => {
    const clear = all.length > 4 && line.runs === 1 && chosen !== i;  // many extremes over each other hide the lines
    const fill = clear || (chosen !== null && chosen !== i) ? "transparent" : faint(i, all.length > 1 ? 18 : 26);
    return {series: [3 * i + 2, 3 * i + 1], fill};
  });
}

function draw() {
  const all = lines(), data = [shown.x, ...all.flatMap(line => [line.low, line.high, line.line])];
  const axis = {stroke: ink("--aside"), grid: {stroke: ink("--faint"), width: 1}, ticks: {show: false}, font: "12px system-ui"};
  const options = {
    width: place.clientWidth, height: HEIGHT, series: [{label: "episode", value: (_, v) => number(v)}, ...series()],
    bands: bands(), scales: {x: {time: false}}, legend: {show: !shown.lines},
    axes: [{...axis, values: (_, ticks) => ticks.map(number)}, {...axis, size: 64, values: (_, ticks) => ticks.map(number)}],
    cursor: {drag: {x: true, y: false, setScale: false}, points: {show: false}},
    hooks: {setSelect: [look]},
  };
  chart?.destroy();
  place.replaceChildren();
  if (!shown.x.length) {
    place.textContent = "No episode has ended yet.";
    return;
  }
  chart = new uPlot(options, data, place);
  place.setAttribute("aria-label", told(all));
  figure.dataset.drawn = performance.now();
}

function told(all) {
  const what = all.map(line => {
    const known = line.line.filter(value => value !== null);
    return `${line.label} from ${number(known[0])} to ${number(known.at(-1))}`;
  });
  return `${what.join("; ")}, over ${number(shown.x[0])} to ${number(shown.x.at(-1))}`;
}

function look(drawn) {
  if (drawn.select.width < 3 || shown.lines) return;
  span = [drawn.posToVal(drawn.select.left, "x"), drawn.posToVal(drawn.select.left + drawn.select.width, "x")];
  whole.hidden = false;
  load();
}

function lookAtAll() {
  span = null;
  if (whole) whole.hidden = true;
  load();
}

choices.addEventListener("change", lookAtAll);
choices.addEventListener("submit", event => event.preventDefault());
whole?.addEventListener("click", event => { event.preventDefault(); lookAtAll(); });
place.addEventListener("dblclick", () => { if (span) lookAtAll(); });
for (const row of document.querySelectorAll("[data-line]")) {
  const bring = index => () => { chosen = index; if (shown) draw(); };
  row.addEventListener("pointerenter", bring(Number(row.dataset.line)));
  row.addEventListener("pointerleave", bring(null));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (shown) draw(); });
let drawnFor = 0;
new ResizeObserver(() => {  // called once when it begins, too
  if (place.clientWidth === drawnFor) return;
  drawnFor = place.clientWidth;
  load();
}).observe(place);
