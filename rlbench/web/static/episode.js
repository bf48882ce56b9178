// The player of an episode. It shows a position in steps, as the viewer's window does: a step under way is the next one.
import {CartPicture, FramePicture, MapPicture, ValuesPicture} from "./pictures.js";

const player = document.getElementById("player"), at = player.dataset.at;
const element = name => document.getElementById(name);
const slider = element("slider"), length = Number(slider.max);
const SPANS = 24;  // kept at most, of steps
const NEAR = 10;  // steps before and after the current one in the table
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

const state = {position: 0, target: 0, playing: false, speed: 1, showsValues: false, values: ""};
let head = null, picture = null, values = null, last = 0, isDue = false, shown = null;
const spans = new Map(), asked = new Set(), panels = new Map();

// ---------------------------------------------------------------------- what is shown

const currentStep = () => Math.ceil(state.position);
const way = () => state.position - currentStep() + 1;

function row(step) {  // null while it is on its way
  if (step < 0 || step > length) return null;
  const number = Math.floor(step / head.span), span = spans.get(number);
  if (!span) { load(number); return null; }
  const k = step - span.from, found = {step, arrow: span.arrows && span.arrows[k]};
  for (const name of ["observation", "action", "reward", "total", "explored", "place", "cart", "values"]) {
    found[name] = span[name] ? span[name][k] : null;
  }
  return found;
}

async function told(path) {  // what the server answers; an error that says why not
  const answer = await fetch(at + path, {headers: {accept: "application/json"}});
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function load(number) {
  if (asked.has(number)) return;
  asked.add(number);
  try {
    const values = state.values, span = await told(`/steps?from=${number * head.span}&values=${values}`);
    if (values === state.values) keep(number, span);
  } catch (error) {
    if (state.values) return asIn("", error.message);
    say(error.message);
    return;  // it is not asked for again
  }
  asked.delete(number);
  invalidate();
}

function keep(number, span) {
  let arrow = null;  // of the last move, so that the cab keeps its heading
  if (head.layout) span.arrows = span.action.map(action => { arrow = head.layout.arrows[action] || arrow; return arrow; });
  spans.set(number, span);
  for (const old of [...spans.keys()].filter(key => Math.abs(key - number) > 1)) {
    if (spans.size > SPANS) spans.delete(old);
  }
}

function panelOf(found) {
  if (!head.layout || !head.has_values || found.place === null) return null;
  const number = Math.floor(found.place / (head.layout.rows * head.layout.cols));
  if (!panels.has(number)) {
    panels.set(number, null);
    const values = state.values;
    told(`/values?panel=${number}&values=${values}`).then(panel => {
      if (values !== state.values) return;
      panels.set(number, {...panel, number: `${values}${number}`});
      invalidate();
    }, () => {});
  }
  return panels.get(number);
}

const nameOf = action => action === null ? "" : head.actions[action] ?? String(action);

function number(value) {
  if (typeof value !== "number") return String(value ?? "");
  const short = Number(value.toPrecision(10));
  return short.toLocaleString("en-US", {maximumFractionDigits: 6});
}

function describe(found) {
  const layout = head.layout;
  if (!layout || found.place === null) return "";
  const squares = layout.rows * layout.cols, panel = Math.floor(found.place / squares), square = found.place % squares;
  const place = layout.inside ? [] : [`row ${Math.floor(square / layout.cols)}, column ${square % layout.cols}`];
  const names = [[layout.row_title, layout.row_names[Math.floor(panel / layout.panels[1])]], [layout.col_title, layout.col_names[panel % layout.panels[1]]]];
  return [...place, ...names.filter(([, name]) => name).map(([title, name]) => `${title} ${name}`)].join(", ");
}

// ---------------------------------------------------------------------- what moves it

function jump(step) {
  state.playing = false;
  state.target = state.position = Math.min(Math.max(Math.round(step), 0), length);
  invalidate();
}

function forward() {
  const target = Math.min(currentStep() + (way() >= 1 ? 1 : 0), length);
  state.target = state.playing ? target : Math.max(target, Math.min(state.target + 1, length));
  state.playing = false;
  state.position = Math.max(state.position, state.target - 1);
  invalidate();
}

function back() {
  jump(state.playing ? (way() >= 1 ? currentStep() - 1 : Math.floor(state.position)) : state.target - 1);
}

function toggle() {
  if (state.playing) state.target = currentStep();
  else if (state.target === length) state.position = state.target = 0;
  state.playing = !state.playing;
  invalidate();
}

function setSpeed(by) {
  const speeds = element("speed");
  speeds.selectedIndex = Math.min(Math.max(speeds.selectedIndex + by, 0), speeds.options.length - 1);
  state.speed = Number(speeds.value);
}

function zoom(factor) {
  if (!(picture instanceof MapPicture)) return;
  picture.zoom = Math.max(1, Math.min(picture.zoom * factor, picture.closest));
  invalidate();
}

function showValues(shows) {
  if (element("over").hidden) return;
  element("show-values").checked = state.showsValues = shows;
  invalidate();
}

function asIn(when, why = "") {  // the action values as they were in the end, or by then
  state.values = element("then").value = when;
  for (const known of [spans, panels, asked]) known.clear();
  shown = null;
  if (why || picture) say(why);
  invalidate();
}

const tenth = Math.max(1, Math.round(length / 10));
const KEYS = {
  " ": toggle, ArrowRight: forward, ArrowLeft: back, Home: () => jump(0), End: () => jump(length),
  PageDown: () => jump(currentStep() + tenth), PageUp: () => jump(currentStep() - tenth),
  "+": () => setSpeed(1), "-": () => setSpeed(-1), i: () => zoom(1.5), o: () => zoom(1 / 1.5),
  v: () => showValues(!state.showsValues), n: () => follow("next"), p: () => follow("previous"),
};

function follow(rel) {
  const link = document.querySelector(`.steps a[rel=${rel}]`);
  if (link) link.click();
}

document.addEventListener("keydown", event => {
  const on = event.target, types = on.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
  const presses = event.key === " " && on.matches("button, a, summary, input[type=checkbox]");
  if (event.ctrlKey || event.metaKey || event.altKey || types || presses || !head || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

slider.addEventListener("input", () => jump(Number(slider.value)));
element("play").addEventListener("click", toggle);
element("back").addEventListener("click", back);
element("forward").addEventListener("click", forward);
element("speed").addEventListener("change", () => setSpeed(0));
element("show-values").addEventListener("change", event => showValues(event.target.checked));
element("then").addEventListener("change", event => asIn(event.target.value));
element("zoom-in").addEventListener("click", () => zoom(1.5));
element("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
element("table").addEventListener("toggle", () => { shown = null; invalidate(); });
addEventListener("hashchange", () => { if (head) jump(stepOfAddress()); });

function stepOfAddress() {
  const found = /^#(\d{1,15})$/.exec(location.hash);
  return found ? Math.min(Number(found[1]), length) : 0;
}

let later = 0;
function tellAddress() {  // browsers allow few changes a second
  clearTimeout(later);
  later = setTimeout(() => {
    const hash = `#${currentStep()}`;
    if (!state.playing && (location.hash || "#0") !== hash) history.replaceState(null, "", hash);
  }, 200);
}

// ---------------------------------------------------------------------- drawing

function invalidate() {
  if (!isDue && head) { isDue = true; requestAnimationFrame(frame); }
}

function frame(now) {
  isDue = false;
  advance(Math.min((now - last) / 1000, 0.1));
  last = now;
  const step = currentStep(), found = row(step);
  if (found) paint(found, step);
  if (state.playing || state.position < state.target) invalidate();
}

function advance(seconds) {
  if (state.playing) state.target = length;
  if (state.position >= state.target) { state.playing = false; return; }
  const next = Math.min(Math.floor(state.position) + 1, length);
  if (!row(next)) return;  // it is on its way
  row(Math.min(next + Math.round(head.span / 4), length));
  const rate = head.pace * (state.playing ? state.speed : Math.max(state.speed, 1));
  state.position = Math.min(state.target, state.position + rate * seconds);
  if (state.position >= length) state.playing = false;
}

function paint(found, step) {
  const moves = isStill.matches ? 1 : way();
  const moment = {row: found, before: step ? row(step - 1) : null, action: found.action, way: moves};
  if (picture) {
    if (picture instanceof MapPicture) picture.panel = state.showsValues ? panelOf(found) : null;
    onto(element("picture"), picture.ratio, (ctx, width, height) => picture.paint(ctx, width, height, moment));
  }
  paintTimeline();
  if (shown !== step) tell(found, step);
  element("play").textContent = state.playing ? "Pause" : "Play";
  if (values) paintHeat(found);
}

function paintHeat(found) {
  const panel = panelOf(found);
  if (!panel) return;
  element("values").hidden = false;
  onto(element("heat"), values.ratio, (ctx, width, height) => values.paint(ctx, width, height, found.place, panel));
  const range = panel.low === null ? "" : ` Values from ${number(panel.low)} (dark) to ${number(panel.high)} (bright).`;
  element("heat-note").textContent = `${[describe(found), head.layout.inside].filter(Boolean).join("; ")}.${range}`;
}

function onto(canvas, ratio, draw) {  // sharp on any screen
  const width = canvas.clientWidth, height = Math.round(Math.min(width / ratio, Math.min(innerHeight, 900) * 0.54));
  const dots = devicePixelRatio || 1;
  if (width < 1 || height < 1) return;
  if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dots, 0, 0, dots, 0, 0);
  draw(ctx, width, height);
}

function colors() {
  const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(`--${name}`).trim();
  return {text: of("text"), aside: of("aside"), line: of("line"), page: of("page"), danger: of("danger"), pole: of("c1"),
    good: of("c2"), bad: of("c1"), strange: of("c3"), raised: of("raised"), accent: of("accent")};
}
let known = null;
const theme = () => known ||= colors();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { known = bars = null; invalidate(); });
addEventListener("resize", () => { bars = null; invalidate(); });

// ---------------------------------------------------------------------- the timeline

const EDGE = 8;  // pixels: half the knob of the slider
let bars = null;  // the timeline without the position

function paintTimeline() {
  onto(element("timeline"), element("timeline").clientWidth / 76, (ctx, width, height) => {
    bars ||= drawnBars(width, height, ctx.canvas.width / width);
    ctx.clearRect(0, 0, width, height);
    ctx.drawImage(bars, 0, 0, width, height);
    const x = EDGE + (width - 2 * EDGE) * (length ? state.position / length : 0);
    ctx.fillStyle = theme().text;
    ctx.fillRect(x - 1, 0, 2, height);
  });
}

function drawnBars(width, height, dots) {
  const canvas = document.createElement("canvas"), ctx = canvas.getContext("2d");
  const {low, high, explored} = head.timeline, count = low.length;
  canvas.width = width * dots;
  canvas.height = height * dots;
  ctx.scale(dots, dots);
  const middle = (height - 10) / 2, wide = (width - 2 * EDGE) / Math.max(count, 1);
  const tall = value => Math.sign(Number(value)) * Math.log10(1 + Math.min(Math.abs(Number(value)) || 0, 1e300));
  const highest = Math.max(1e-9, ...low.map(tall).map(Math.abs), ...high.map(tall).map(Math.abs));
  ctx.fillStyle = theme().line;
  ctx.fillRect(EDGE, middle, width - 2 * EDGE, 1);
  for (let k = 0; k < count; k++) {
    const bar = Math.max(1, Math.min(14, wide - 1)), x = EDGE + (k + 1) * wide - bar / 2 - wide * (count < length ? 0.5 : 0);
    for (const value of low[k] === high[k] ? [low[k]] : [low[k], high[k]]) {
      const reach = Math.max(2, Math.abs(tall(value)) / highest * (middle - 2));
      ctx.fillStyle = Number(value) > 0 ? theme().good : theme().bad;
      if (Number(value)) ctx.fillRect(x, Number(value) > 0 ? middle - reach : middle + 1, bar, reach);
    }
    if (explored && Number(explored[k])) {
      ctx.globalAlpha = 0.35 + 0.65 * explored[k];
      ctx.fillStyle = theme().strange;
      ctx.fillRect(x, height - 7, Math.max(bar, 2), 7);
      ctx.globalAlpha = 1;
    }
  }
  return canvas;
}

const line = element("timeline");
const seek = event => {
  const box = line.getBoundingClientRect();
  jump((event.clientX - box.left - EDGE) / (box.width - 2 * EDGE) * length);
};
line.addEventListener("pointerdown", event => { line.setPointerCapture(event.pointerId); seek(event); });
line.addEventListener("pointermove", event => { if (event.buttons) seek(event); });

// ---------------------------------------------------------------------- words

function tell(found, step) {
  shown = step;
  const before = step ? nameOf(found.action) + (found.explored ? " (exploring)" : "") : "";
  element("step").textContent = `Step ${step.toLocaleString("en-US")}`;
  slider.value = step;
  slider.setAttribute("aria-valuetext", step ? `step ${step}, ${before}, reward ${number(found.reward)}` : "the start");
  const place = describe(found), facts = [
    ["action", before], ["reward", step ? number(found.reward) : ""], ["return so far", number(found.total)],
    ["state", typeof found.observation === "number" ? found.observation : ""], ["place", head.kind === "cart" ? "" : place],
    ...(found.cart ? head.cart.names.map(([name, unit], k) => [name, `${Number(found.cart[k]).toFixed(3)} ${unit}`]) : []),
    ["observation", typeof found.observation === "number" ? "" : found.observation],
    ["end", step === length ? head.end : ""],
  ];
  fill(element("facts"), facts.filter(([, value]) => value !== "").map(([name, value]) => {
    const pair = document.createElement("div");
    fill(pair, [made("dt", name), made("dd", value)]);
    return pair;
  }));
  tellBars(found, step);
  if (element("table").open) tellRows(step);
  element("picture").setAttribute("aria-label", ["The env", `step ${step}`, before, place].filter(Boolean).join(", "));
  tellAddress();
}

function tellBars(found, step) {
  const of = found.values, isOver = step === length && head.end === "terminated";
  const isThere = head.has_values && of && !isOver;
  element("bars-title").hidden = element("bars-note").hidden = element("bars").hidden = !head.has_values;
  if (!isThere) {
    return fill(element("bars"), [made("li", isOver ? "The episode has ended." : "None are known for this observation.", "aside")]);
  }
  const allowed = of.map((value, action) => ({value, action})).filter(({value}) => value !== "-inf");
  const values = allowed.map(({value}) => Number(value));
  const next = step < length ? row(step + 1) : null, low = Math.min(0, ...values), high = Math.max(0, ...values);
  const highest = Math.max(...values), reach = high - low || 1;
  const best = values.every(value => value === values[0]) ? -1 : allowed[values.indexOf(highest)]?.action ?? -1;
  fill(element("bars"), allowed.map(({value, action}) => {
    const isTaken = next && next.action === action, item = document.createElement("li");
    item.className = isTaken ? (next.explored ? "strange" : "taken") : "";
    if (action === best) item.classList.add("best");
    const marks = [action === best ? "best" : "", isTaken ? (next.explored ? "exploring" : "taken") : ""].filter(Boolean);
    const meter = made("span", "", "meter"), full = made("span", "");
    full.style.marginLeft = `${100 * ((value >= 0 ? 0 : Number(value)) - low) / reach}%`;
    full.style.width = `${100 * Math.abs(Number(value)) / reach}%`;
    meter.append(full);
    fill(item, [made("span", nameOf(action), "name"), made("span", marks.join(", "), "mark"), made("span", number(value), "value"), meter]);
    return item;
  }));
}

function tellRows(step) {
  const from = Math.max(0, step - NEAR), rows = [];
  for (let k = from; k <= Math.min(length, step + NEAR); k++) {
    const found = row(k);
    if (!found) continue;
    const line = document.createElement("tr");
    const cells = [k, nameOf(found.action) + (found.explored ? " (exploring)" : ""), k ? number(found.reward) : "", number(found.total), found.observation];
    fill(line, cells.map((cell, i) => made("td", cell, [0, 2, 3].includes(i) ? "number" : "")));
    if (k === step) line.setAttribute("aria-current", "step");
    rows.push(line);
  }
  fill(element("rows"), rows);
}

function made(tag, text, name = "") {
  const found = document.createElement(tag);
  found.textContent = text;
  found.className = name;
  return found;
}

const fill = (parent, children) => parent.replaceChildren(...children);

function say(words) {
  element("why").textContent = words;
}

// ---------------------------------------------------------------------- playing again

const verify = element("verify");
if (verify) verify.addEventListener("click", async () => {
  verify.disabled = true;
  verdict("Playing it again ...");
  try {
    const headers = {...JSON.parse(document.body.getAttribute("hx-headers")), accept: "application/json"};
    const answer = await fetch(`${at}/verify`, {method: "POST", headers});
    const isJson = (answer.headers.get("content-type") || "").includes("json");
    const found = isJson ? await answer.json() : {error: await answer.text()};
    if (!answer.ok) throw new Error(found.error);
    verdict(found.words, found.same ? "good" : "bad", found.step);
  } catch (error) {
    verdict(error.message, "bad");
  }
  verify.disabled = false;
});

function verdict(words, name = "", step = null) {
  const told = element("verdict");
  told.className = name;
  told.textContent = words;
  if (step === null) return;
  const link = made("a", `Step ${step}`);
  link.href = `#${step}`;
  told.append(" ", link);
}

// ---------------------------------------------------------------------- the beginning

function begin(found) {
  head = found;
  say("");
  keep(0, head.steps);
  if (head.kind === "map") picture = new MapPicture(head.layout);
  if (head.kind === "cart") picture = new CartPicture(head.cart, theme);
  if (head.kind === "frames") picture = new FramePicture(at, length, invalidate, lacks);
  if (head.kind === "table") lacks(head.why);
  if (head.layout && head.layout.inside && head.has_values) values = new ValuesPicture(head.layout);
  element("over").hidden = !(head.kind === "map" && head.has_values);
  element("zoom").hidden = !(head.kind === "map" && Math.max(head.layout.rows, head.layout.cols) > 12);
  element("when").hidden = !head.has_then;
  player.dataset.ready = head.kind;
  jump(stepOfAddress());
}

function lacks(why) {  // no picture: the steps as a table
  say(`No picture: ${why}. The steps follow as a table.`);
  element("picture").hidden = true;
  element("table").open = true;
  picture = null;
}

say("Reading the episode ...");
told("/scene").then(begin, error => { say(error.message); element("picture").hidden = true; });
