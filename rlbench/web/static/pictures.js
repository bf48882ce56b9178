// Pictures of an env on a canvas: a map of squares, a cart with its pole, or the env's own frames.
// Each has paint(ctx, width, height, moment): `moment` is {row, before, action, way}, the step that is shown, the one
// before it, the action between the two and the share of the way that has passed.

const RAMP = [[46, 46, 110], [38, 106, 142], [44, 158, 136], [140, 204, 88], [250, 230, 80]];  // worst to best
const ZONES = {R: "#d03e3e", G: "#269654", Y: "#dea814", B: "#3070cc"};
const OTHER_ZONES = ["#1696a0", "#de6e28", "#c65096", "#825c3c", "#6e7828", "#5a5abe"];
const ROOFS = ["#d6c4ac", "#c4b4aa", "#ded0bc", "#b8bec4", "#cdb2a0"];
const INK = "#26222b", WHITE = "#fff";
const ROAD = 0.52;  // of a square
const LARGEST = 4000;  // pixels of a map that is drawn ahead
const smooth = share => share * share * (3 - 2 * share);

export function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return `rgb(${RAMP[low].map((part, k) => Math.round(part + (RAMP[low + 1][k] - part) * (at - low))).join()})`;
}

function zoneColor(letter) {
  return ZONES[letter] || OTHER_ZONES[letter.codePointAt(0) % OTHER_ZONES.length];
}

// ---------------------------------------------------------------------- a map

export class MapPicture {
  constructor(layout) {
    this.layout = layout;
    this.zoom = 1;
    this.panel = null;  // the values that lie over the map
    this.ground = null;  // the map without what moves, as drawn last
    this.letters = new Map(layout.letters.map(([row, col, letter]) => [`${row},${col}`, letter]));
    this.zones = new Map(layout.letters.map(([row, col, letter]) => [letter, [row, col]]));
    this.ratio = (layout.cols + 0.3) / (layout.rows + 0.3);
  }

  place(row) {
    const squares = this.layout.rows * this.layout.cols;
    const panel = Math.floor(row.place / squares), square = row.place % squares;
    return {panel, row: Math.floor(square / this.layout.cols), col: square % this.layout.cols};
  }

  get closest() {
    return Math.max(1, LARGEST / Math.max(this.layout.rows, this.layout.cols) / this.fitting);
  }

  paint(ctx, width, height, moment) {
    const {rows, cols} = this.layout;
    this.fitting = Math.min(width / (cols + 0.3), height / (rows + 0.3));
    const cell = this.fitting * Math.min(this.zoom, this.closest);
    const at = this.between(moment);
    const shift = (room, squares, middle) => squares * cell <= room
      ? (room - squares * cell) / 2
      : Math.min(0.15 * cell, Math.max(room - (squares + 0.15) * cell, room / 2 - (middle + 0.5) * cell));
    const x = shift(width, cols, at.col), y = shift(height, rows, at.row);
    ctx.clearRect(0, 0, width, height);
    ctx.drawImage(this.groundAt(cell), x, y, cols * cell, rows * cell);
    ctx.save();
    ctx.translate(x, y);
    ctx.scale(cell, cell);
    this.movers(ctx, this.place(moment.row), at, cell);
    ctx.restore();
  }

  between({row, before, action, way}) {  // where the agent is, in squares
    const now = this.place(row), heading = this.heading(row, action);
    if (!before || way >= 1) return {...now, heading};
    const old = this.place(before), away = Math.abs(old.row - now.row) + Math.abs(old.col - now.col);
    const arrow = this.layout.arrows[action];
    if (away === 1) {
      const share = smooth(way);
      return {row: old.row + (now.row - old.row) * share, col: old.col + (now.col - old.col) * share, heading};
    }
    const bump = away === 0 && arrow ? 0.14 * Math.sin(Math.PI * way) : 0;
    return {row: now.row + (bump && arrow[1] * bump), col: now.col + (bump && arrow[0] * bump), heading};
  }

  heading(row, action) {  // the last move, as an angle
    const arrow = this.layout.arrows[action] || row.arrow;
    return arrow ? Math.atan2(arrow[1], arrow[0]) : 0;
  }

  groundAt(cell) {
    const {rows, cols, is_trip: isTrip, letters} = this.layout;
    const key = `${cell.toFixed(3)} ${this.panel ? this.panel.number : ""}`;
    return this.ground = drawnOnce(this.ground, key, cols * cell, rows * cell, (ctx, width, height) => {
      ctx.scale(width / cols, height / rows);
      if (isTrip) paintCity(ctx, this.layout, cell); else paintGrid(ctx, this.layout);
      if (this.panel) paintValues(ctx, this.layout, this.panel, cell, this.letters);
      for (const [row, col, letter] of letters) this.letter(ctx, row, col, letter);
    });
  }

  letter(ctx, row, col, letter) {
    const is = this.layout.is_trip;
    ctx.globalAlpha = this.panel ? 0.75 : 1;
    ctx.fillStyle = is ? zoneColor(letter) : letter === "G" ? "#269654" : "#3070cc";
    rounded(ctx, col + 0.1, row + 0.1, 0.8, 0.8, 0.14);
    ctx.globalAlpha = 1;
    write(ctx, letter, col + 0.5, row + 0.53, 0.56, WHITE);
  }

  movers(ctx, now, at, cell) {
    const {is_trip: isTrip, row_names: rowNames, col_names: colNames, panels} = this.layout;
    const least = Math.max(1, 20 / cell);  // so that they are seen in a large city
    if (!isTrip) return paintAgent(ctx, at.col + 0.5, at.row + 0.5, least, at.heading);
    const waits = rowNames[Math.floor(now.panel / panels[1])], goes = colNames[now.panel % panels[1]];
    const coat = zoneColor(goes), to = this.zones.get(goes), from = this.zones.get(waits);
    if (to) paintFlag(ctx, to[1] + 0.62, to[0] + 0.86, least, coat);
    paintCab(ctx, at.col + 0.5, at.row + 0.5, least, at.heading, from ? null : coat);
    if (from) paintPerson(ctx, from[1] + 0.24, from[0] + 0.6, least, coat);
  }
}

function drawnOnce(known, key, width, height, draw) {  // what does not move, drawn ahead and kept
  if (known && known.key === key) return known;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  canvas.key = key;
  draw(canvas.getContext("2d"), canvas.width, canvas.height);
  return canvas;
}

function rounded(ctx, x, y, width, height, radius) {
  ctx.beginPath();
  ctx.roundRect(x, y, width, height, radius);
  ctx.fill();
}

function disc(ctx, x, y, radius, color) {
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
}

function write(ctx, text, x, y, size, color) {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size / 20, size / 20);  // some browsers round sizes below a pixel
  ctx.font = "700 20px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = color;
  ctx.fillText(text, 0, 0);
  ctx.restore();
}

function paintCity(ctx, layout, cell) {
  const {rows, cols} = layout, side = 1 - ROAD, walls = new Set(layout.walls.map(String));
  ctx.fillStyle = "#96be80";
  rounded(ctx, 0, 0, cols, rows, 0.2);
  ctx.fillStyle = "#5c626f";
  rounded(ctx, side / 2, side / 2, cols - side, rows - side, 0.14);
  if (cell >= 6) {
    paintBlocks(ctx, rows, cols, side);
    ctx.fillStyle = "#cecec4";
    for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) {
      for (const k of [0.82, 1.06]) {
        if (col + 1 < cols && !walls.has(`${row},${col}`)) ctx.fillRect(col + k, row + 0.485, 0.12, 0.03);
        if (row + 1 < rows) ctx.fillRect(col + 0.485, row + k, 0.03, 0.12);
      }
    }
  }
  for (const [row, col] of layout.walls) paintWall(ctx, row, col);
  for (const [row, col] of layout.hazards) paintAnomaly(ctx, row, col);
}

function paintBlocks(ctx, rows, cols, side) {
  for (let row = 1; row < rows; row++) for (let col = 1; col < cols; col++) {
    const kind = (row * 7 + col * 13 + row * col * 5) % 31, x = col - side / 2, y = row - side / 2;
    ctx.fillStyle = "#b0b2b0";
    rounded(ctx, x - 0.02, y - 0.02, side + 0.04, side + 0.04, 0.09);
    ctx.fillStyle = kind % 4 === 0 ? "#96be80" : ROOFS[kind % ROOFS.length];
    rounded(ctx, x, y, side, side, 0.08);
    if (kind % 4 === 0) for (const [a, b] of [[0.3, 0.35], [0.66, 0.6]]) disc(ctx, x + a * side, y + b * side, 0.09, "#588e54");
    else { ctx.fillStyle = "rgba(38,34,43,.13)"; rounded(ctx, x + side / 2, y + 0.05, side / 2 - 0.05, side - 0.1, 0.05); }
  }
}

function paintWall(ctx, row, col) {
  ctx.fillStyle = INK;
  rounded(ctx, col + 0.925, row + 0.06, 0.15, 0.88, 0.03);
  for (let k = 0; k < 7; k++) {
    ctx.fillStyle = k % 2 ? WHITE : "#e84a3c";
    ctx.fillRect(col + 0.945, row + 0.08 + k * 0.12, 0.11, 0.12);
  }
}

function paintAnomaly(ctx, row, col) {
  ctx.fillStyle = "#220c34";
  rounded(ctx, col + 0.1, row + 0.1, 0.8, 0.8, 0.2);
  ctx.lineWidth = 0.07;
  for (const [radius, color, turn] of [[0.29, "#d660ff", 0.4], [0.18, "#ac3ce8", 2.4], [0.07, "#f0c8ff", 4]]) {
    ctx.strokeStyle = color;
    ctx.beginPath();
    ctx.arc(col + 0.5, row + 0.5, radius, turn, turn + 4.4);
    ctx.stroke();
  }
}

function paintGrid(ctx, layout) {
  for (let row = 0; row < layout.rows; row++) for (let col = 0; col < layout.cols; col++) {
    ctx.fillStyle = "#dfeaf2";
    rounded(ctx, col + 0.03, row + 0.03, 0.94, 0.94, 0.08);
  }
  for (const [row, col] of layout.hazards) {
    ctx.fillStyle = "#26364a";
    rounded(ctx, col + 0.03, row + 0.03, 0.94, 0.94, 0.08);
    disc(ctx, col + 0.5, row + 0.5, 0.3, "#0f1a28");
  }
  for (const [row, col] of layout.blocks) {
    ctx.fillStyle = "#545864";
    rounded(ctx, col + 0.02, row + 0.02, 0.96, 0.96, 0.08);
  }
}

function paintValues(ctx, layout, panel, cell, letters) {
  for (let row = 0; row < layout.rows; row++) for (let col = 0; col < layout.cols; col++) {
    const square = row * layout.cols + col, best = panel.best[square];
    if (best < 0) continue;
    ctx.globalAlpha = letters.has(`${row},${col}`) ? 0.5 : 0.86;
    ctx.fillStyle = ramp(panel.shares[square]);
    rounded(ctx, col + 0.03, row + 0.03, 0.94, 0.94, 0.1);
    ctx.globalAlpha = 1;
    if (cell >= 14) paintSymbol(ctx, col + 0.5, row + 0.5, layout.arrows[best], best);
  }
}

function paintSymbol(ctx, x, y, arrow) {  // an arrow for a move, a dot for anything else
  if (!arrow) { disc(ctx, x, y, 0.2, INK); disc(ctx, x, y, 0.14, WHITE); return; }
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(Math.atan2(arrow[1], arrow[0]));
  ctx.beginPath();
  for (const [a, b] of [[-.26, -.05], [.06, -.05], [.06, -.17], [.32, 0], [.06, .17], [.06, .05], [-.26, .05]]) ctx.lineTo(a, b);
  ctx.closePath();
  ctx.lineWidth = 0.08;
  ctx.lineJoin = "round";
  ctx.strokeStyle = INK;
  ctx.stroke();
  ctx.fillStyle = WHITE;
  ctx.fill();
  ctx.restore();
}

function paintCab(ctx, x, y, size, heading, coat) {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size, size);
  ctx.rotate(heading);
  ctx.fillStyle = INK;
  rounded(ctx, -0.37, -0.22, 0.74, 0.44, 0.12);
  ctx.fillStyle = "#fccc26";
  rounded(ctx, -0.34, -0.19, 0.68, 0.38, 0.1);
  ctx.fillStyle = "#344254";
  rounded(ctx, 0.06, -0.15, 0.11, 0.3, 0.04);
  rounded(ctx, -0.25, -0.14, 0.07, 0.28, 0.03);
  ctx.fillStyle = coat || "#ce9610";
  rounded(ctx, -0.14, -0.12, 0.16, 0.24, 0.05);
  if (coat) { ctx.strokeStyle = WHITE; ctx.lineWidth = 0.03; ctx.stroke(); }
  for (const side of [-0.14, 0.09]) { ctx.fillStyle = "#fffad6"; ctx.fillRect(0.29, side, 0.05, 0.05); }
  ctx.restore();
}

function paintPerson(ctx, x, y, size, coat) {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size, size);
  ctx.fillStyle = INK;
  rounded(ctx, -0.13, -0.07, 0.26, 0.33, 0.11);
  ctx.fillStyle = coat;
  rounded(ctx, -0.1, -0.04, 0.2, 0.27, 0.09);
  disc(ctx, 0, -0.13, 0.125, INK);
  disc(ctx, 0, -0.13, 0.1, "#f4cca8");
  ctx.restore();
}

function paintFlag(ctx, x, y, size, color) {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size, size);
  ctx.fillStyle = INK;
  ctx.fillRect(-0.03, -0.72, 0.06, 0.72);
  ctx.beginPath();
  for (const [a, b] of [[0.02, -0.72], [0.34, -0.58], [0.02, -0.42]]) ctx.lineTo(a, b);
  ctx.closePath();
  ctx.lineWidth = 0.06;
  ctx.lineJoin = "round";
  ctx.strokeStyle = WHITE;
  ctx.stroke();
  ctx.fillStyle = color;
  ctx.fill();
  ctx.restore();
}

function paintAgent(ctx, x, y, size, heading) {
  const radius = Math.min(0.3 * size, 0.8);
  disc(ctx, x, y, radius, INK);
  disc(ctx, x, y, radius * 0.86, "#f28a45");
  disc(ctx, x + radius * 0.45 * Math.cos(heading), y + radius * 0.45 * Math.sin(heading), radius * 0.24, INK);
}

// ---------------------------------------------------------------------- values of binned quantities

export class ValuesPicture {  // the squares of a panel that is no map
  constructor(layout) {
    this.layout = layout;
    this.ground = null;
    this.ratio = Math.min(2, Math.max(0.7, layout.cols / layout.rows));
  }

  paint(ctx, width, height, place, panel) {
    const {rows, cols} = this.layout, dots = devicePixelRatio || 1, key = `${width} ${height} ${panel.number}`;
    this.ground = drawnOnce(this.ground, key, width * dots, height * dots, (...on) => this.squares(...on, panel));
    ctx.clearRect(0, 0, width, height);
    ctx.drawImage(this.ground, 0, 0, width, height);
    const at = place % (rows * cols), wide = width / cols, high = height / rows, least = Math.max(wide, high) < 8 ? 3 : 0;
    for (const [color, line] of [[INK, 5], [WHITE, 2.5]]) {
      ctx.strokeStyle = color;
      ctx.lineWidth = line;
      ctx.strokeRect(at % cols * wide + 1 - least, Math.floor(at / cols) * high + 1 - least, wide - 2 + 2 * least, high - 2 + 2 * least);
    }
  }

  squares(ctx, width, height, panel) {
    const {rows, cols, arrows} = this.layout, high = height / rows, wide = width / cols, gap = Math.min(wide, high) > 6 ? 0.02 : 0;
    ctx.scale(wide, high);
    panel.best.forEach((best, square) => {
      const row = Math.floor(square / cols), col = square % cols;
      ctx.fillStyle = best < 0 ? "rgba(128,136,148,.2)" : ramp(panel.shares[square]);
      ctx.fillRect(col + gap, row + gap, 1 - 2 * gap, 1 - 2 * gap);
      if (best >= 0 && Math.min(wide, high) >= 14) paintSymbol(ctx, col + 0.5, row + 0.5, arrows[best]);
    });
  }
}

// ---------------------------------------------------------------------- a cart

export class CartPicture {
  constructor(track, colors) {
    this.track = track;
    this.colors = colors;
    this.ratio = 1.9;
  }

  paint(ctx, width, height, {row, before, way}) {
    const share = before && way < 1 ? way : 1;
    const [x, , angle] = row.cart.map((value, k) => share < 1 ? before.cart[k] + (value - before.cart[k]) * share : value).map(Number);
    const limit = Number(this.track.limit) || 2.4, scale = width / (2 * limit * 1.25), colors = this.colors();
    const ground = height * 0.78, middle = width / 2 + x * scale, pole = Number(this.track.pole) || 1;
    ctx.clearRect(0, 0, width, height);
    ctx.lineWidth = 2;
    ctx.strokeStyle = colors.line;
    line(ctx, [0, ground], [width, ground]);
    ctx.fillStyle = colors.aside;
    ctx.font = "13px system-ui, sans-serif";
    ctx.textAlign = "center";
    for (let metre = -Math.floor(limit); metre <= limit; metre++) {
      const at = width / 2 + metre * scale;
      line(ctx, [at, ground], [at, ground + 6]);
      ctx.fillText(`${metre} m`, at, ground + 22);
    }
    ctx.strokeStyle = colors.danger;
    for (const side of [-1, 1]) line(ctx, [width / 2 + side * limit * scale, ground - 26], [width / 2 + side * limit * scale, ground + 8]);
    const cart = {width: 0.5 * scale, height: 0.3 * scale};
    ctx.fillStyle = colors.text;
    rounded(ctx, middle - cart.width / 2, ground - cart.height - 3, cart.width, cart.height, 5);
    this.pole(ctx, middle, ground - cart.height, angle, Math.min(pole * scale, height * 0.6), colors);
  }

  pole(ctx, x, y, angle, length, colors) {
    ctx.lineCap = "round";
    ctx.strokeStyle = colors.pole;
    ctx.lineWidth = 9;
    line(ctx, [x, y], [x + length * Math.sin(angle), y - length * Math.cos(angle)]);
    ctx.lineCap = "butt";
    disc(ctx, x, y, 4.5, colors.page);
  }
}

function line(ctx, from, to) {
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
}

// ---------------------------------------------------------------------- frames

export class FramePicture {
  constructor(at, length, redraw, fail) {
    this.at = at;
    this.length = length;
    this.redraw = redraw;
    this.fail = fail;
    this.kept = new Map();
    this.asked = 0;
    this.ratio = 1.5;
  }

  paint(ctx, width, height, {row, before, way}) {
    const step = way < 1 && before ? row.step - 1 : row.step;
    const found = this.kept.get(step);
    this.ask(step);
    if (found) this.shown = found;
    if (!this.shown) return;
    if (found) ctx.canvas.dataset.shown = step;
    const scale = Math.min(width / this.shown.width, height / this.shown.height);
    const [wide, high] = [this.shown.width * scale, this.shown.height * scale];
    ctx.clearRect(0, 0, width, height);
    ctx.drawImage(this.shown, (width - wide) / 2, (height - high) / 2, wide, high);
  }

  ask(step) {  // one request at a time: first the step that is shown, then those that may come
    if (this.asked || this.broken) return;
    const next = [...Array(12).keys()].map(k => step + k).find(k => k <= this.length && !this.kept.has(k));
    if (next !== undefined) this.load(next, step);
  }

  async load(step, wanted) {
    this.asked = 1;
    try {
      const answer = await fetch(`${this.at}/frame?step=${step}`, {headers: {accept: "application/json"}});
      if (!answer.ok) throw new Error((await answer.json()).error);
      this.keep(step, await createImageBitmap(await answer.blob()));
      this.asked = 0;
      if (step === wanted) this.redraw();
      else this.ask(wanted);
    } catch (error) {
      this.broken = true;
      this.fail(error.message);
    }
  }

  keep(step, picture) {
    this.ratio = picture.width / picture.height;
    this.kept.set(step, picture);
    if (this.kept.size > 240) this.kept.delete(this.kept.keys().next().value);
  }
}
