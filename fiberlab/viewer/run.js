// The run: reads the bytes that picture.py packs, and answers what was so at a time or an event.
//
// The rule kept here: nothing is concluded. Spans, sentences and passes were found in Python; here
// they are only looked up. Rows count from 0, the scheduler is row -1, times are nanoseconds.

const KINDS = { i: Int32Array, d: Float64Array, B: Uint8Array };
const ALIGNED = 8;
const COARSE = 64;

/** Read what is drawn of one run; bytes: as picture.py packs them. The events come later. */
export async function readRun(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const run = new Run(await readPart(bytes.subarray(4, 4 + length)));
  run.unread = bytes.subarray(4 + length);
  return run;
}

/** Return the bytes of the pictures that a part of a page holds. */
export function picturesIn(element) {
  const byHand = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const unpack = (text) => Uint8Array.fromBase64?.(text) ?? byHand(text);
  const held = element.querySelectorAll("script[type='application/octet-stream']");
  return Array.from(held, (each) => unpack(each.textContent));
}

/** Return the header of a part, with its columns in place of their description. */
async function readPart(bytes) {
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = aligned(4 + length);
  const columns = {};
  for (const [name, kind, count, steps] of header.columns) {
    const numbers = new KINDS[kind](buffer, at, count);
    at = aligned(at + numbers.byteLength);
    columns[name] = steps ? sums(numbers) : numbers;
  }
  return { ...header, columns };
}

export class Run {
  constructor(part) {
    Object.assign(this, part);
    this.sortByRow();
  }

  /** Put the spans of each row side by side; `from[row]` is where those of a row begin. */
  sortByRow() {
    const { row, state, start } = this.columns, count = row.length;
    this.from = new Int32Array(this.fibers.length + 1);
    for (let i = 0; i < count; i++) this.from[row[i] + 1]++;
    for (let r = 0; r < this.fibers.length; r++) this.from[r + 1] += this.from[r];
    const next = this.from.slice();
    this.place = new Int32Array(count); // of each span, as Python numbers it
    this.state = new Uint8Array(count);
    this.start = new Float64Array(count);
    this.end = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const to = this.place[i] = next[row[i]]++;
      this.state[to] = state[i];
      this.start[to] = start[i];
      // Spans tile a life. So this is where the one before it has ended.
      if (to > this.from[row[i]]) this.end[to - 1] = start[i];
    }
    this.fibers.forEach((life, r) => {
      if (this.from[r] < this.from[r + 1]) this.end[this.from[r + 1] - 1] = life.died ?? this.finish;
    });
  }

  /** Read the events too; return this run. */
  async complete() {
    const { texts, lines, bill, columns } = await readPart(this.unread);
    Object.assign(this, { texts, lines, bill, unread: null });
    Object.assign(this.columns, columns);
    this.first = new Int32Array(this.place.length);
    this.last = new Int32Array(this.place.length);
    for (let i = 0; i < this.place.length; i++) {
      this.first[this.place[i]] = columns.first[i];
      this.last[this.place[i]] = columns.last[i];
    }
    return this;
  }

  /** How many events there are; none before they are read. */
  get events() {
    return this.columns.eventTime?.length ?? 0;
  }

  /** Return the first span of a row that ends after a time; `from[row + 1]` if there is none. */
  firstAfter(row, time) {
    return upper(this.end, time, this.from[row], this.from[row + 1]);
  }

  /** Return times, and how long the run queue was from then on; coarse: at most, for 64 at once. */
  depth(coarse) {
    const { depthTime, depthLength } = this.columns;
    if (!coarse) return [depthTime, depthLength];
    const most = (_, i) => Math.max(...depthLength.subarray(COARSE * i, COARSE * (i + 1)));
    const count = Math.ceil(depthTime.length / COARSE);
    this.coarse ??= [depthTime.filter((_, i) => i % COARSE === 0), Array.from({ length: count }, most)];
    return this.coarse;
  }

  /** Return the span of a row at a time, -1 if its state is not known then. */
  spanAt(row, time) {
    const i = this.firstAfter(row, time);
    return i < this.from[row + 1] && this.start[i] <= time ? i : -1;
  }

  /** Return the row of a span. */
  rowOf(span) {
    return upper(this.from, span, 0, this.from.length) - 1;
  }

  /** Return the last event that is not after a time, 0 if there is none. */
  eventAt(time) {
    return Math.max(0, upper(this.columns.eventTime, time, 0, this.events) - 1);
  }

  /** Return the span of a row after an event, -1 if it has none then. */
  spanAfterEvent(row, event) {
    const i = upper(this.first, event, this.from[row], this.from[row + 1]) - 1;
    const known = i >= this.from[row] && (this.last[i] < 0 || this.last[i] > event);
    return known ? i : -1;
  }

  /** Return what was so after an event: who runs, the run queue in order, and who waits for what. */
  moment(event) {
    const found = { running: -1, queue: [], parked: [], sleeping: [], sockets: [], unknown: [] };
    const time = this.columns.eventTime[event];
    for (let row = 0; row < this.fibers.length; row++) {
      const span = this.spanAfterEvent(row, event);
      if (span < 0) continue;
      const asked = this.first[span];
      switch (this.states[this.state[span]]) {
        case "running": found.running = row; break;
        case "ready": found.queue.push({ row, asked }); break;
        case "unknown": found.unknown.push({ row }); break;
        case "parked": found.parked.push({ row, asked }); break;
        case "sleep":
          found.sleeping.push({ row, left: this.start[span] + this.columns.eventTook[asked] - time });
          break;
        default:
          found.sockets.push({ row, state: this.states[this.state[span]],
                               number: this.columns.eventNumber[asked] });
      }
    }
    found.queue.sort((a, b) => a.asked - b.asked);
    found.parked.sort((a, b) => a.asked - b.asked);
    found.sleeping.sort((a, b) => a.left - b.left);
    return found;
  }

  /** Return the sentence that says what an event was, and why. */
  sentence(event) {
    const c = this.columns;
    const values = {
      fiber: this.nameOf(c.eventRow[event]),
      by: this.nameOf(c.eventBy[event]),
      time: readable(c.eventTook[event]),
      number: c.eventNumber[event].toLocaleString("en"),
      socket: c.eventNumber[event],
      text: this.texts[c.eventText[event]],
    };
    return this.templates[c.eventTemplate[event]].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  /** Return the line a fiber was at after an event, as file:line; "" if it is not known. */
  line(event) {
    return this.lines[this.columns.eventLine[event]][0];
  }

  /** Return the lines of source around it, each with its number. */
  quoted(event) {
    return this.lines[this.columns.eventLine[event]][1];
  }

  nameOf(row) {
    return row < 0 ? "the scheduler" : this.fibers[row].name;
  }

  /** Return the next event that begins a pass, in a direction; an end of the run if there is none. */
  pass(event, direction) {
    const passes = this.columns.passes;
    const i = direction > 0 ? upper(passes, event, 0, passes.length)
                            : upper(passes, event - 1, 0, passes.length) - 1;
    return i < 0 ? 0 : i < passes.length ? passes[i] : this.events - 1;
  }

  /** Return the next event of a row in a direction, -1 if there is none. */
  eventOf(row, event, direction) {
    const rows = this.columns.eventRow;
    let at = event + direction;
    while (at >= 0 && at < rows.length && rows[at] !== row) at += direction;
    return at < rows.length ? at : -1;
  }

  /** Return which fibers were ready, or had data, while a step ran, and for how long: [row, ns]. */
  keptWaiting(step) {
    const mine = this.rowOf(step), begin = this.start[step], end = this.end[step];
    const { hiddenRow, hiddenStart, hiddenEnd } = this.columns, waited = new Map();
    const add = (row, from, to) => {
      const length = Math.min(end, to) - Math.max(begin, from);
      if (length > 0 && row !== mine) waited.set(row, length + (waited.get(row) ?? 0));
    };
    for (let row = 0; row < this.fibers.length; row++) {
      for (let i = this.firstAfter(row, begin); i < this.from[row + 1] && this.start[i] < end; i++) {
        if (this.state[i] === this.ready) add(row, this.start[i], this.end[i]);
      }
    }
    hiddenRow.forEach((row, i) => add(row, hiddenStart[i], hiddenEnd[i]));
    return [...waited].sort((a, b) => b[1] - a[1]);
  }

  /** Return the rows whose waits were unwatched while a step ran. */
  unwatchedUnder(step) {
    const c = this.columns, mine = this.rowOf(step), found = new Set();
    for (let i = 0; i < c.unwatchedRow.length; i++) {
      const during = c.unwatchedStart[i] < this.end[step] && c.unwatchedEnd[i] > this.start[step];
      if (c.unwatchedBy[i] === mine && during) found.add(c.unwatchedRow[i]);
    }
    return [...found];
  }
}

/** Return a length of time for people, as `readable` in spans.py does. */
export function readable(nanoseconds) {
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6]]) {
    const value = nanoseconds / size;
    if (value >= 0.9995) {
      return unit === "s" ? `${value.toFixed(2)} s` : `${value.toFixed(value >= 9.95 ? 0 : 1)} ms`;
    }
  }
  return nanoseconds >= 99500 ? `${(nanoseconds / 1e6).toFixed(1)} ms`
                              : `${(nanoseconds / 1e3).toFixed(0)} µs`;
}

/** Return the first index in sorted numbers, from `low` to before `high`, that holds more. */
export function upper(numbers, value, low, high) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Return the sums up to each number. */
function sums(steps) {
  const found = new Float64Array(steps.length);
  for (let i = 0, sum = 0; i < steps.length; i++) found[i] = sum += steps[i];
  return found;
}

function aligned(at) {
  return Math.ceil(at / ALIGNED) * ALIGNED;
}
