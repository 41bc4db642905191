// Painting: the rows of one run on a canvas, for the part of time that is shown.
//
// The rule kept here: nothing is left out because it was short. Spans narrower than a pixel share
// it, each with its part of the height. Colours, heights and hatches are those of palette.py.

import { upper } from "./run.js";

export const ROW = 22; // pixels
export const QUEUE = 34;
export const POLLS = 18;
const HATCHED_FROM = 12;
const NARROWEST_HELD = 3;
const MERGED = 18; // the height of pixels that hold several spans
const MOST_ARROWS = 40; // more tell nothing; then a fiber is chosen first
const MOST_OF_ONE = 200;

/** What part of time is shown, and on how many pixels. */
export class Scale {
  constructor(begin, end, width) {
    Object.assign(this, { begin, end, width, pixel: (end - begin) / width });
  }
  x(time) {
    return (time - this.begin) / this.pixel;
  }
  time(x) {
    return this.begin + x * this.pixel;
  }
}

/** The colours and hatches of a palette, in the light or in the dark. */
export class Inks {
  constructor(looks, states, dark) {
    this.dark = dark;
    this.looks = looks;
    this.states = states.slice(0, -1).map((name) => ({ ...looks[name], ink: this.ink(looks[name]) }));
    const solid = (look) => pack(look.ink === "none" ? this.edge(look) : look.ink);
    this.packed = Uint32Array.from(this.states, solid);
    this.text = dark ? "#e8e8e8" : "#222222";
    this.faint = dark ? "#555555" : "#bbbbbb";
    this.patterns = new Map();
  }
  ink(look) {
    return this.dark ? look.dark[0] : look.colour;
  }
  edge(look) {
    return this.dark ? look.dark[1] : look.edge;
  }

  /** Return an empty sheet of pixels, with a row to spare above and below; it is used again. */
  sheet(width, height) {
    if (this.last?.width !== width || this.last.height !== height) {
      const canvas = new OffscreenCanvas(width, height + 2 * ROW);
      const picture = new ImageData(width, height + 2 * ROW);
      const pixels = new Uint32Array(picture.data.buffer);
      this.last = { width, height, canvas, context: canvas.getContext("2d"), picture, pixels };
    }
    this.last.pixels.fill(0);
    return this.last;
  }

  /** Return the hatch of a look as a pattern to fill with. */
  hatch(context, look) {
    const key = look.hatch + look.edge;
    if (!this.patterns.has(key)) {
      const tile = new OffscreenCanvas(8, 8), pen = tile.getContext("2d");
      pen.strokeStyle = pen.fillStyle = this.edge(look);
      pen.lineWidth = look.hatch.length > 3 ? 2.4 : 1;
      const line = (x0, y0, x1, y1) => {
        pen.beginPath();
        pen.moveTo(x0, y0);
        pen.lineTo(x1, y1);
        pen.stroke();
      };
      for (const shift of [-8, 0, 8]) {
        if (/[/x]/.test(look.hatch)) line(shift, 8, shift + 8, 0);
        if (/[\\x]/.test(look.hatch)) line(shift, 0, shift + 8, 8);
      }
      if (look.hatch.includes(".")) pen.fillRect(3, 3, 2, 2);
      this.patterns.set(key, context.createPattern(tile, "repeat"));
    }
    return this.patterns.get(key);
  }
}

/** Paint the length of the run queue, and below it where the scheduler polls. */
export function paintHead(context, run, scale, inks) {
  context.clearRect(0, 0, scale.width, QUEUE + POLLS);
  const { depthTime, depthLength, pollStart, pollEnd } = run.columns;
  const shown = upper(depthTime, scale.end, 0, depthTime.length) - upper(depthTime, scale.begin, 0, depthTime.length);
  const [times, lengths] = run.depth(shown > 100 * scale.width);
  run.deepest ??= depthLength.reduce((a, b) => Math.max(a, b), 1);
  const high = new Float64Array(scale.width);
  const count = times.length;
  const { begin, width } = scale, share = 1 / scale.pixel;
  let from = 0; // the first pixel of a stretch in which the queue keeps its length
  for (let i = Math.max(0, upper(times, begin, 0, count) - 1); i < count && from < width; i++) {
    from = Math.max(0, (times[i] - begin) * share) | 0;
    const length = lengths[i], to = ((i + 1 < count ? times[i + 1] : run.finish) - begin) * share;
    for (let x = from; x < width && (x === from || x < to); x++) if (high[x] < length) high[x] = length;
  }
  context.fillStyle = inks.states[run.ready].ink;
  for (let x = 0; x < scale.width; x++) {
    const height = (high[x] / run.deepest) * (QUEUE - 4);
    if (height) context.fillRect(x, QUEUE - height, 1, height);
  }
  context.fillStyle = inks.ink(run.looks.polling);
  let drawn = -1; // neighbours with less than a pixel between them are one bar
  for (let i = upper(pollEnd, scale.begin, 0, pollEnd.length); i < pollStart.length; i++) {
    const from = scale.x(pollStart[i]), to = scale.x(pollEnd[i]);
    if (to < 0 || to <= drawn) continue;
    if (from > scale.width) break;
    const left = Math.max(from, drawn), right = Math.max(to, left + 1);
    context.fillRect(left, QUEUE + 5, right - left, 8);
    drawn = right;
  }
}

/** Paint the rows from `top` pixels on; chosen, step: the row and the span that are marked. */
export function paintRows(context, run, scale, inks, top, height, marked) {
  context.clearRect(0, 0, scale.width, height);
  const view = {
    run, scale, inks, top, height,
    from: Math.max(0, Math.floor(top / ROW)),
    to: Math.min(run.fibers.length, Math.ceil((top + height) / ROW)),
    middle: (row) => row * ROW + ROW / 2 - top,
  };
  if (marked.row >= 0) {
    context.fillStyle = inks.dark ? "#ffffff14" : "#00000010";
    context.fillRect(0, view.middle(marked.row) - ROW / 2, scale.width, ROW);
  }
  paintSpans(context, view);
  paintParts(context, view, "unwatched");
  paintParts(context, view, "hidden");
  paintLives(context, view);
  paintHeld(context, view);
  paintMarks(context, view);
  view.arrows = paintArrows(context, view, marked.row);
  if (marked.span >= 0) {
    const x = scale.x(run.start[marked.span]), right = scale.x(run.end[marked.span]);
    context.strokeStyle = inks.text;
    context.lineWidth = 2;
    context.strokeRect(x - 1, view.middle(run.rowOf(marked.span)) - ROW / 2 + 1, Math.max(3, right - x + 2), ROW - 2);
  }
  if (marked.time !== null) {
    context.fillStyle = inks.text;
    context.fillRect(Math.round(scale.x(marked.time)), 0, 1, height);
  }
  return view;
}

// -- Spans ------------------------------------------------------------------------------

function paintSpans(context, view) {
  const { run, scale, inks } = view, width = scale.width;
  // Here a million spans are looked at in each frame: no calls, and nothing is looked up twice.
  const { start, end, state: states, running } = run, { begin } = scale, share = 1 / scale.pixel;
  const kinds = inks.states.length;
  const bars = inks.states.map(() => []);
  const shares = new Float64Array(width * kinds);
  let sheet = null;
  for (let row = view.from; row < view.to; row++) {
    const y = view.middle(row);
    let merged = false;
    const last = run.from[row + 1];
    for (let i = run.firstAfter(row, begin - 1); i < last; i++) {
      let a = (start[i] - begin) * share;
      if (a >= width) break;
      const state = states[i];
      // A step that took no time, since the clock was simulated, is seen all the same.
      const b = (end[i] - begin) * share + (state === running ? share : 0);
      if (b <= 0 || b <= a) continue;
      if (b - a >= 1) {
        bars[state].push(Math.max(a, -4), y, Math.min(b, width + 4));
        continue;
      }
      merged = true;
      a = Math.max(a, 0);
      const pixel = a | 0;
      shares[pixel * kinds + state] += Math.min(b, pixel + 1) - a;
      if (b > pixel + 1 && pixel + 1 < width) shares[(pixel + 1) * kinds + state] += b - pixel - 1;
    }
    if (merged) {
      sheet ??= inks.sheet(width, view.height);
      stack(sheet, shares, run.looks.stacked, inks.packed, Math.round(y));
      shares.fill(0);
    }
  }
  if (sheet !== null) {
    sheet.context.putImageData(sheet.picture, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet.canvas, 0, -ROW);
  }
  inks.states.forEach((look, state) => paintBars(context, bars[state], look, look.ink, inks));
}

/** Colour each pixel of a row by the shares of the states in it, the tallest states lowest. */
function stack({ pixels, width }, shares, order, packed, y) {
  const kinds = packed.length, bottom = (y + MERGED / 2 - 1 + ROW) * width;
  for (let x = 0; x < width; x++) {
    const first = x * kinds;
    let total = 0;
    for (let state = 0; state < kinds; state++) total += shares[first + state];
    if (total === 0) continue;
    let sum = 0, level = 0, at = bottom + x;
    for (let k = 0; k < kinds; k++) {
      const state = order[k], share = shares[first + state];
      if (share === 0) continue;
      sum += share;
      // A state that is there at all has a level.
      const upto = Math.min(MERGED, Math.max(level + 1, (sum / total) * MERGED + 0.5) | 0);
      for (const ink = packed[state]; level < upto; level++, at -= width) pixels[at] = ink;
    }
  }
}

/** Paint bars, given as left, middle and right one after the other; wide ones with their hatch. */
function paintBars(context, bars, look, ink, inks) {
  if (!bars.length) return;
  const height = look.height * ROW, half = height / 2;
  const hollow = ink === "none" && !look.hatch;
  if (ink !== "none") {
    context.fillStyle = ink;
    for (let i = 0; i < bars.length; i += 3) {
      context.fillRect(bars[i], bars[i + 1] - half, bars[i + 2] - bars[i], height);
    }
  }
  if (hollow) {
    context.strokeStyle = inks.edge(look);
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    for (let i = 0; i < bars.length; i += 3) {
      context.strokeRect(bars[i], bars[i + 1] - half, bars[i + 2] - bars[i], height);
    }
    context.setLineDash([]);
  } else if (look.hatch) {
    context.fillStyle = inks.hatch(context, look);
    for (let i = 0; i < bars.length; i += 3) {
      const wide = bars[i + 2] - bars[i] >= HATCHED_FROM || ink === "none";
      if (wide) context.fillRect(bars[i], bars[i + 1] - half, bars[i + 2] - bars[i], height);
    }
  }
}

/** Paint the parts of waits that were unwatched, or whose data was there already. */
function paintParts(context, view, name) {
  const { run, scale, inks } = view, look = run.looks[name], bars = [];
  const [rows, starts, ends] = ["Row", "Start", "End"].map((part) => run.columns[name + part]);
  for (let i = 0; i < rows.length; i++) {
    if (rows[i] < view.from || rows[i] >= view.to) continue;
    const a = scale.x(starts[i]), b = scale.x(ends[i]);
    if (b - a >= 1 && b > 0 && a < scale.width) {
      bars.push(Math.max(a, -4), view.middle(rows[i]), Math.min(b, scale.width + 4));
    }
  }
  paintBars(context, bars, look, inks.ink(look), inks);
}

// -- What lies over the bars --------------------------------------------------------------

/** Draw a thin line before each birth, ticks at birth and death, and a cross at a crash. */
function paintLives(context, view) {
  const { run, scale, inks } = view;
  for (let row = view.from; row < view.to; row++) {
    const life = run.fibers[row], y = view.middle(row);
    if (life.born !== null) {
      const x = scale.x(life.born);
      context.fillStyle = inks.faint;
      if (x > 0) context.fillRect(0, y, Math.min(x, scale.width), 0.5);
      context.fillRect(x, y - ROW / 2 + 1, 1, ROW - 2);
    }
    if (life.died !== null) {
      const x = scale.x(life.died);
      context.fillStyle = inks.faint;
      context.fillRect(x, y - ROW / 2 + 1, 1, ROW - 2);
      if (life.how === "error") cross(context, x, y, inks.edge(run.looks.stalled));
    }
  }
}

function cross(context, x, y, ink) {
  context.strokeStyle = ink;
  context.lineWidth = 3;
  context.beginPath();
  for (const side of [-1, 1]) {
    context.moveTo(x - 5, y - 5 * side);
    context.lineTo(x + 5, y + 5 * side);
  }
  context.stroke();
}

/** Mark the steps that held the loop, however narrow they are; view.held says where they lie. */
function paintHeld(context, view) {
  const { run, scale, inks } = view, c = run.columns;
  view.held = [];
  for (let i = 0; i < c.heldSpan.length; i++) {
    const span = run.place[c.heldSpan[i]], row = c.row[c.heldSpan[i]];
    const look = c.heldBlamed[i] ? run.looks.stalled : run.looks.unblamed;
    let a = scale.x(run.start[span]), b = scale.x(run.end[span]);
    if (row < view.from || row >= view.to || b < 0 || a > scale.width) continue;
    const short = Math.max(0, NARROWEST_HELD - (b - a)) / 2;
    a = Math.max(a - short, -4);
    b = Math.min(b + short, scale.width + 4);
    const y = view.middle(row), half = (look.height * ROW) / 2;
    if (look.hatch) {
      context.fillStyle = inks.hatch(context, look);
      context.fillRect(a, y - half, b - a, 2 * half);
    }
    const ink = inks.edge(look);
    context.strokeStyle = ink;
    context.lineWidth = 1.4;
    context.strokeRect(a, y - half, b - a, 2 * half);
    view.held.push({ a, b, y, ink, text: run.heldLabels[i], length: run.end[span] - run.start[span] });
  }
}

/** Draw requests as brackets over their row, notes and prints as signs. */
function paintMarks(context, view) {
  const { run, scale, inks } = view;
  context.strokeStyle = context.fillStyle = inks.text;
  context.lineWidth = 1.2;
  for (const [kind, row, begin, end] of run.marks) {
    const a = scale.x(begin), b = scale.x(end), y = view.middle(row) - ROW / 2 + 3;
    if (row < view.from || row >= view.to || b < 0 || a > scale.width) continue;
    context.beginPath();
    if (kind === "request") {
      context.moveTo(a, y - 3);
      context.lineTo(a, y + 3);
      context.moveTo(a, y);
      context.lineTo(b, y);
      context.moveTo(b, y - 3);
      context.lineTo(b, y + 3);
      context.stroke();
    } else {
      const tip = kind === "note" ? -3 : 1; // a diamond, or a triangle that points down
      context.moveTo(a, y + 4);
      context.lineTo(a + 3, y - (kind === "note" ? 0 : 2));
      context.lineTo(a, y + tip - 1);
      context.lineTo(a - 3, y - (kind === "note" ? 0 : 2));
      context.fill();
    }
  }
}

/** Draw who woke whom: of all if they are few, else of one row. Returns how many are not drawn. */
function paintArrows(context, view, chosen) {
  const { run, scale, inks } = view, c = run.columns, wanted = [];
  if (!run.events) return 0;
  const from = run.eventAt(scale.begin), to = run.eventAt(scale.end);
  const wakes = chosen < 0 ? c.handed : c.wakes, limit = chosen < 0 ? MOST_ARROWS : MOST_OF_ONE;
  let count = 0;
  for (let at = upper(wakes, from - 1, 0, wakes.length); at < wakes.length && wakes[at] <= to; at++) {
    const event = wakes[at], row = c.eventRow[event], by = c.eventBy[event];
    if (chosen >= 0 && row !== chosen && by !== chosen) continue;
    if (by === row || c.eventTime[event] < scale.begin) continue;
    if (++count <= limit) wanted.push(event);
  }
  if (count > limit) return count;
  context.strokeStyle = context.fillStyle = inks.text;
  context.lineWidth = 1;
  for (const event of wanted) {
    const x = scale.x(c.eventTime[event]), by = c.eventBy[event];
    arrow(context, x, by < 0 ? -2 : view.middle(by), view.middle(c.eventRow[event]));
  }
  return 0;
}

function arrow(context, x, from, to) {
  const bend = 6, point = to > from ? -5 : 5;
  context.beginPath();
  context.moveTo(x, from);
  context.quadraticCurveTo(x - bend, (from + to) / 2, x, to);
  context.stroke();
  context.beginPath();
  context.moveTo(x, to);
  context.lineTo(x - 4, to + point);
  context.lineTo(x + 3, to + point);
  context.fill();
}

function pack(colour) {
  const rgb = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}
