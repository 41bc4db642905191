// The viewer: one or more runs on one axis of time, to zoom, to search and to step through.
//
// Pictures are on canvases, words are HTML. Whatever the mouse can do, keys and buttons can do too.
// The rule kept here: all text is put in as text. What a trace says is never markup.

import { Inks, POLLS, QUEUE, ROW, Scale, paintHead, paintRows } from "./paint.js";
import { readRun, readable } from "./run.js";
import { Steps, button, element } from "./steps.js";

const LABELS = 190; // pixels for the names of the fibers
const MOST_ROWS = 24; // more are scrolled
const MOST_LABELS = 12;
const ZOOM = 1.3;
const SHORTEST = 10; // nanoseconds that are shown at least
const GLIDE = 180; // milliseconds of a jump
const FOLLOWED = 5e9; // nanoseconds that are shown at least of a run that goes on

/**
 * Put a viewer into an element; pictures: bytes as picture.py packs them, one for each run.
 * stepping: whether the stepper is open. asking: whether it asks which fiber runs next. live: whether
 * the run goes on. between: the two moments that are shown at first, in nanoseconds; else the whole run.
 */
export async function mount(root, pictures, options = {}) {
  const { stepping = false, asking = false, live = false, between = null } = options;
  const viewer = new Viewer(root, await Promise.all(pictures.map(readRun)), live);
  if (between) viewer.show(...between);
  // It is seen before the events are read: of a million, they take longer.
  await new Promise((seen) => requestAnimationFrame(() => setTimeout(seen)));
  performance.mark("first picture");
  await Promise.all(viewer.runs.map((run) => run.complete()));
  viewer.tellBill();
  viewer.steps.asks.checked = asking;
  if (stepping) viewer.openSteps(true);
  viewer.soon();
  return viewer;
}

export class Viewer {
  constructor(root, runs, live) {
    this.root = root;
    this.runs = runs;
    this.live = live;
    this.chosen = { track: 0, row: -1, span: -1 };
    this.cursor = null; // the track and the time of the event that is stepped to
    this.build();
    this.whole();
    new ResizeObserver(() => this.paint()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    const themes = { attributeFilter: ["data-jp-theme-light", "data-theme"] };
    new MutationObserver(() => this.soon()).observe(document.body, themes);
  }

  /** Whether the page has nothing but this viewer. */
  get alone() {
    return this.root.parentElement === document.body;
  }

  /** Return a length of time, in nanoseconds, as it is written. */
  readable(length) {
    return readable(length);
  }
  get begin() {
    return Math.min(...this.runs.map((run) => run.begin));
  }
  get finish() {
    return Math.max(...this.runs.map((run) => run.finish), this.begin + SHORTEST);
  }
  get dark() {
    // JupyterLab and the course's site let the reader choose.
    const { jpThemeLight, theme } = document.body.dataset;
    const chosen = { true: "light", false: "dark" }[jpThemeLight] ?? theme;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return { light: false, dark: true }[chosen] ?? dark;
  }

  // -- The parts --------------------------------------------------------------------------

  build() {
    const root = this.root;
    root.classList.add("fl-viewer");
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", "timeline viewer");
    this.legend = element("div", "fl-legend");
    this.overview = element("canvas", "fl-overview");
    this.axis = element("div", "fl-axis");
    for (const each of [this.overview, this.axis]) each.setAttribute("aria-hidden", "true");
    this.tracks = this.runs.map((run, number) => new Track(this, number));
    this.steps = new Steps((run, event) => this.stepped(run, event));
    this.steps.root.hidden = true;
    this.details = element("section", "fl-details", "Click a bar to see what it is.");
    this.details.setAttribute("aria-live", "polite");
    this.findings = element("section", "fl-findings");
    this.bill = element("details", "fl-findings", null, element("summary", "", "what the slowest requests consist of"));
    this.words = element("details", "fl-words", null, element("summary", "", "the same in words"));
    root.replaceChildren(this.bar(), this.legend, this.overview, this.axis,
      ...this.tracks.map((track) => track.root), this.steps.root, this.details, this.findings,
      this.bill, this.words);
    this.tell();
    this.listen();
  }

  /** Make the bar of buttons, with the search. */
  bar() {
    this.search = element("input");
    this.search.type = "search";
    this.search.placeholder = "find a fiber";
    this.search.setAttribute("aria-label", "find a fiber by its name or number; Enter goes to the next");
    this.found = element("span", "fl-found");
    this.found.setAttribute("aria-live", "polite");
    this.toggle = button("step", "step through the events (s)", () => this.openSteps(this.steps.root.hidden));
    this.span = element("span", "fl-span");
    return element("div", "fl-bar", null,
      button("−", "zoom out (minus)", () => this.zoom(1 / ZOOM)),
      button("+", "zoom in (plus)", () => this.zoom(ZOOM)),
      button("◀", "earlier (Left)", () => this.pan(-0.25)),
      button("▶", "later (Right)", () => this.pan(0.25)),
      button("whole run", "show the whole run (0)", () => this.glide(this.begin, this.finish)),
      this.toggle, this.search, this.found, this.span);
  }

  /** Fill in what depends on the runs and not on the window. */
  tell() {
    const findings = this.places((run) => run.findings);
    const title = findings.children.length ? "findings" : "nothing found: no fiber held the loop";
    this.findings.replaceChildren(element("h3", "", title), findings);
    this.tellBill();
    const texts = this.runs.map((run) => element("pre", "", run.description));
    this.words.replaceChildren(this.words.firstChild, ...texts);
    this.legend.replaceChildren(...this.looksShown().map(([look, words]) => {
      const swatch = element("canvas");
      swatch.width = 28;
      swatch.height = 14;
      return element("span", "fl-key", null, Object.assign(swatch, { look }), ` ${words}`);
    }));
  }

  /** Fill in the bill, which is read with the events. */
  tellBill() {
    const bill = this.places((run) => run.bill ?? []);
    this.bill.replaceChildren(this.bill.firstChild, bill);
    this.bill.hidden = !bill.children.length;
  }

  /** Make a list of what was found in the runs; each item jumps to its place. */
  places(of) {
    const found = this.runs.flatMap((run, track) => of(run).map((each) => ({ ...each, track })));
    return element("ol", "", null, ...found.map((each) => {
      const spoken = each.severity ? `${each.severity}: ${each.text}` : each.text;
      return element("li", each.severity ? `fl-${each.severity}` : "", null, button(each.text, spoken, () => this.jump(each)));
    }));
  }

  /** Return the looks that these runs have, each with its words, in the order of the palette. */
  looksShown() {
    const { looks, states } = this.runs[0], some = (has) => this.runs.some(({ columns }) => has(columns));
    const there = {
      unwatched: [some((c) => c.unwatchedRow.length), "waits unwatched"],
      hidden: [some((c) => c.hiddenRow.length), "data was there"],
      stalled: [some((c) => c.heldBlamed.includes(1)), "held the loop"],
      unblamed: [some((c) => c.heldBlamed.includes(0)), "long, cause unknown"],
      polling: [some((c) => c.pollStart.length), "scheduler polls"],
    };
    const names = Object.keys(looks).filter((name) => there[name]?.[0]
      || some((c) => states.includes(name) && c.state.includes(states.indexOf(name))));
    return names.map((name) => [looks[name], there[name]?.[1] ?? name]);
  }

  // -- The window -------------------------------------------------------------------------

  whole() {
    this.show(this.begin, this.finish);
  }

  /** Show a part of time, as far as it lies within the runs. */
  show(begin, end) {
    const length = Math.max(SHORTEST, Math.min(end - begin, this.finish - this.begin));
    const first = Math.max(this.begin, Math.min(begin, this.finish - length));
    this.window = { begin: first, end: first + length };
    this.soon();
  }

  /** Go to a part of time, seen on the way unless the reader wants little motion. */
  glide(begin, end) {
    cancelAnimationFrame(this.gliding);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.show(begin, end);
    const from = { ...this.window }, since = performance.now();
    const step = (now) => {
      const part = Math.min(1, Math.max(0, (now - since) / GLIDE));
      this.show(from.begin + part * (begin - from.begin), from.end + part * (end - from.end));
      if (part < 1) this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }

  zoom(factor, at = (this.window.begin + this.window.end) / 2) {
    const { begin, end } = this.window;
    this.show(at - (at - begin) / factor, at + (end - at) / factor);
  }

  pan(share) {
    const { begin, end } = this.window;
    this.show(begin + share * (end - begin), end + share * (end - begin));
  }

  /** Paint before the next frame, once for however many changes. */
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  paint() {
    for (const track of this.tracks) track.size();
    // Without the scroll bar, which only many rows have.
    const inner = Math.min(...this.tracks.map((track) => track.rows.clientWidth));
    const width = Math.max(100, inner - LABELS);
    const scale = new Scale(this.window.begin, this.window.end, width);
    this.root.classList.toggle("fl-dark", this.dark);
    if (!this.inks || this.inks.dark !== this.dark) {
      this.inks = new Inks(this.runs[0].looks, this.runs[0].states, this.dark);
      for (const key of this.legend.querySelectorAll("canvas")) this.paintKey(key);
    }
    this.scale = scale;
    this.paintAxis(scale);
    for (const track of this.tracks) track.paint(scale, this.inks);
    this.paintOverview(width);
    this.span.textContent = `${readable(scale.end - scale.begin)} of ${readable(this.finish - this.begin)}`;
  }

  paintAxis(scale) {
    const seconds = scale.end - scale.begin >= 2e9, unit = seconds ? 1e9 : 1e6;
    const step = nice((scale.end - scale.begin) / unit / Math.max(2, scale.width / 110));
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const marks = [];
    for (let at = Math.ceil(scale.begin / unit / step); at * step * unit <= scale.end; at++) {
      const text = `${(at * step).toFixed(digits)} ${seconds ? "s" : "ms"}`;
      const mark = element("span", "", text);
      mark.style.left = `${LABELS + scale.x(at * step * unit)}px`;
      marks.push(mark);
    }
    this.axis.replaceChildren(...marks);
  }

  paintKey(key) {
    const context = key.getContext("2d"), { look } = key;
    context.clearRect(0, 0, 28, 14);
    const ink = this.inks.ink(look), height = Math.max(4, 14 * look.height), y = 7 - height / 2;
    if (ink !== "none") {
      context.fillStyle = ink;
      context.fillRect(0, y, 28, height);
    }
    if (look.hatch) {
      context.fillStyle = this.inks.hatch(context, look);
      context.fillRect(0, y, 28, height);
    } else if (ink === "none") {
      context.strokeStyle = this.inks.edge(look);
      if (look.height < 0.5) context.setLineDash([4, 3]);
      context.strokeRect(0.5, y + 0.5, 27, height - 1);
    }
  }

  /** Paint the whole run in a strip: how long the run queue was, what was found, and the window. */
  paintOverview(width) {
    const context = fit(this.overview, width, 30), run = this.runs[this.chosen.track];
    this.overview.style.marginLeft = `${LABELS}px`;
    const scale = new Scale(this.begin, this.finish, width);
    const key = `${width} ${this.chosen.track} ${this.dark} ${run.finish}`;
    if (this.strip?.key !== key) {
      const sheet = new OffscreenCanvas(width, QUEUE + POLLS);
      paintHead(sheet.getContext("2d"), run, scale, this.inks);
      this.strip = { key, sheet };
    }
    context.clearRect(0, 0, width, 30);
    context.drawImage(this.strip.sheet, 0, 0, width, QUEUE, 0, 0, width, 30);
    const c = run.columns;
    for (let i = 0; i < c.heldSpan.length; i++) {
      const span = run.place[c.heldSpan[i]];
      context.fillStyle = this.inks.edge(c.heldBlamed[i] ? run.looks.stalled : run.looks.unblamed);
      context.fillRect(scale.x(run.start[span]), 26, Math.max(2, (run.end[span] - run.start[span]) / scale.pixel), 4);
    }
    const left = scale.x(this.window.begin), right = scale.x(this.window.end);
    context.fillStyle = this.inks.dark ? "#00000088" : "#ffffff99";
    context.fillRect(0, 0, left, 30);
    context.fillRect(right, 0, width - right, 30);
    context.strokeStyle = this.inks.text;
    context.strokeRect(left + 0.5, 0.5, Math.max(2, right - left - 1), 29);
  }

  // -- What the reader does ---------------------------------------------------------------

  listen() {
    // Before all others: a notebook takes keys for its cells, and 0 twice for a restart.
    this.keys = (key) => {
      if (!this.root.contains(key.target) || key.ctrlKey || key.metaKey || key.altKey) return;
      if (this.pressed(key)) key.preventDefault();
      key.stopImmediatePropagation();
    };
    addEventListener("keydown", this.keys, true);
    const to = (event) => {
      const box = this.overview.getBoundingClientRect();
      const middle = new Scale(this.begin, this.finish, box.width).time(event.clientX - box.left);
      const half = (this.window.end - this.window.begin) / 2;
      this.show(middle - half, middle + half);
    };
    this.overview.addEventListener("pointerdown", (event) => {
      this.overview.setPointerCapture(event.pointerId);
      to(event);
    });
    this.overview.addEventListener("pointermove", (event) => event.buttons && to(event));
  }

  /** Do what a key stands for, where it was pressed; return whether it stands for anything. */
  pressed(key) {
    if (key.target === this.search) {
      if (key.key === "Enter") this.find(this.search.value, key.shiftKey ? -1 : 1);
      return key.key === "Enter";
    }
    if (this.steps.root.contains(key.target) && this.steps.pressed(key)) return true;
    const moves = {
      "+": () => this.zoom(ZOOM), "=": () => this.zoom(ZOOM), "-": () => this.zoom(1 / ZOOM),
      0: () => this.glide(this.begin, this.finish),
      ArrowLeft: () => this.pan(-0.1), ArrowRight: () => this.pan(0.1),
      Home: () => this.pan(-1e9), End: () => this.pan(1e9),
      ArrowUp: () => this.chooseRow(-1), ArrowDown: () => this.chooseRow(1),
      Enter: () => this.chooseNext(key.shiftKey ? -1 : 1),
      "/": () => this.search.focus(),
      s: () => this.openSteps(this.steps.root.hidden),
      Escape: () => this.choose(this.chosen.track, -1, -1),
    };
    // A button is pressed by Enter, and a list of details opens by it.
    if (!moves[key.key] || (key.key === "Enter" && !key.target.classList.contains("fl-rows"))) return false;
    moves[key.key]();
    return true;
  }

  /** Let go of the page's keys: the viewer is no longer shown. */
  close() {
    removeEventListener("keydown", this.keys, true);
  }

  /** Choose a fiber, or one of its spans, and say what it is; -1: none. */
  choose(track, row, span) {
    this.chosen = { track, row, span };
    this.steps.row = row;
    const run = this.runs[track];
    const lines = span >= 0 ? this.describeSpan(run, span)
                : row >= 0 ? [`#${run.fibers[row].id} ${run.nameOf(row)}`] : ["Click a bar to see what it is."];
    this.details.replaceChildren(...lines.map((line) => element("p", "", line)));
    if (span >= 0 && run.events) {
      this.details.append(button("step from here", "step from the event with which it began", () => {
        this.openSteps(true);
        this.steps.show(run, run.first[span], row);
      }));
    }
    if (row >= 0) this.tracks[track].reveal(row);
    this.soon();
  }

  /** Say of a span its state, times and lines, what ended it, and which fibers paid for it. */
  describeSpan(run, span) {
    const row = run.rowOf(span), life = run.fibers[row], state = run.states[run.state[span]];
    const ms = (time) => `${(time / 1e6).toFixed(3)} ms`;
    const first = run.first?.[span] ?? -1, last = run.last?.[span] ?? -1;
    const lines = [`#${life.id} ${life.name} was ${state} for ${readable(run.end[span] - run.start[span])},`
      + ` from ${ms(run.start[span])} to ${ms(run.end[span])}${last < 0 && run.events ? ", and the trace ends" : ""}.`];
    if (first >= 0) {
      lines.push(`It began: ${run.sentence(first)}${run.line(first) ? ` (${run.line(first)})` : ""}`);
    }
    if (last >= 0) lines.push(`It ended: ${run.sentence(last)}${run.line(last) ? ` (${run.line(last)})` : ""}`);
    if (run.state[span] === run.running) {
      const paid = run.keptWaiting(span), blind = run.unwatchedUnder(span);
      const told = paid.slice(0, 8).map(([who, time]) => `${run.nameOf(who)} (${readable(time)})`);
      lines.push(paid.length ? `It kept waiting: ${told.join(", ")}${paid.length > 8 ? ` and ${paid.length - 8} more` : ""}.`
                             : "No ready fiber waited for it.");
      if (blind.length) {
        lines.push(`Meanwhile the scheduler did not look for: ${blind.slice(0, 8).map((who) => run.nameOf(who)).join(", ")}`
          + `${blind.length > 8 ? ` and ${blind.length - 8} more` : ""}.`);
      }
    }
    return lines;
  }

  chooseRow(direction) {
    const { track, row } = this.chosen, count = this.runs[track].fibers.length;
    if (count) this.choose(track, Math.max(0, Math.min(count - 1, row + direction)), -1);
  }

  /** Choose the next span of the chosen fiber, and bring it into the window. */
  chooseNext(direction) {
    const { track, row, span } = this.chosen, run = this.runs[track];
    if (row < 0) return;
    const first = run.from[row], end = run.from[row + 1];
    const next = span >= 0 ? span + direction : run.firstAfter(row, this.window.begin);
    if (next < first || next >= end) return;
    this.bring(run.start[next], run.end[next]);
    this.choose(track, row, next);
  }

  /** Move the window as little as it takes to show a stretch of time. */
  bring(begin, end) {
    const { window } = this, length = window.end - window.begin;
    if (end - begin > length) this.show(begin, end);
    else if (begin < window.begin) this.show(begin - 0.1 * length, begin + 0.9 * length);
    else if (end > window.end) this.show(end - 0.9 * length, end + 0.1 * length);
  }

  /** Go to where a finding can be seen. */
  jump({ track, row, start, end }) {
    const run = this.runs[track], around = Math.max(1000, 0.5 * (end - start));
    this.glide(start - around, end + around);
    this.choose(track, row, row < 0 ? -1 : run.spanAt(row, start));
  }

  /** Choose the next fiber whose name or number has the text in it. */
  find(text, direction) {
    const wanted = text.trim().toLowerCase(), { track, row } = this.chosen;
    const run = this.runs[track], count = run.fibers.length;
    const hits = (life) => life.name.toLowerCase().includes(wanted) || `#${life.id}` === wanted || `${life.id}` === wanted;
    const matching = run.fibers.filter(hits).length;
    this.found.textContent = wanted ? `${matching} of ${count}` : "";
    for (let step = 1; wanted && matching && step <= count; step++) {
      const at = (((row + direction * step) % count) + count) % count;
      if (hits(run.fibers[at])) return this.choose(track, at, -1);
    }
  }

  // -- Stepping ---------------------------------------------------------------------------

  openSteps(open) {
    if (!this.runs.every((run) => run.first)) return; // the events are not read yet
    this.steps.root.hidden = !open;
    this.toggle.setAttribute("aria-pressed", String(open));
    if (open) {
      const run = this.runs[this.chosen.track];
      this.steps.show(run, this.steps.run === run ? this.steps.event : run.eventAt(this.window.begin));
      this.steps.buttons.querySelectorAll("button")[2].focus();
    } else {
      this.cursor = null;
      this.soon();
    }
  }

  stepped(run, event) {
    const time = run.columns.eventTime[event], track = this.runs.indexOf(run);
    this.cursor = { track, time };
    const row = run.columns.eventRow[event];
    if (row >= 0) {
      this.chosen = { track, row: this.steps.row >= 0 ? this.steps.row : -1, span: run.spanAfterEvent(row, event) };
      this.tracks[track].reveal(row);
    }
    this.bring(time, time);
    this.soon();
  }

  // -- Live -------------------------------------------------------------------------------

  /** Show a newer picture of the same run; the window goes on if it showed the end. */
  renew(run) {
    // A reader who steps looks at one moment.
    if (!this.steps.root.hidden) return;
    const { begin, end } = this.window, followed = end >= this.finish - 1;
    const old = this.runs[0], id = old.fibers[this.chosen.row]?.id;
    this.runs[0] = run;
    this.tracks[0].renamed = true;
    this.chosen = { track: 0, row: run.fibers.findIndex((life) => life.id === id), span: -1 };
    // What is about to be clicked must not move.
    if (!this.findings.matches(":hover, :focus-within")) this.tell();
    for (const key of this.inks ? this.legend.querySelectorAll("canvas") : []) this.paintKey(key);
    const most = Math.min(FOLLOWED, run.finish - run.begin);
    const length = followed ? Math.max(most, Math.min(end - begin, run.finish - run.begin)) : end - begin;
    this.show(followed ? run.finish - length : begin, followed ? run.finish : begin + length);
  }

  /** Say that the run goes on no longer. */
  ended() {
    this.live = false;
    this.found.textContent = "the server has ended";
  }
}

/** One run in the viewer: its names, its head, and its rows. */
class Track {
  constructor(viewer, number) {
    Object.assign(this, { viewer, number, top: 0, shown: null, renamed: true });
    const run = viewer.runs[number];
    this.root = element("div", "fl-track");
    this.root.append(element("div", "fl-title", run.title));
    this.head = element("canvas", "fl-head");
    this.most = element("span", "", "");
    this.root.append(element("div", "fl-heads", null,
      element("div", "fl-names", null, element("span", "", "run queue ", this.most), element("span", "", "scheduler")), this.head));
    this.rows = element("div", "fl-rows");
    this.rows.tabIndex = 0;
    this.rows.setAttribute("role", "application");
    this.rows.setAttribute("aria-roledescription", "timeline");
    this.canvas = element("canvas");
    this.names = element("div", "fl-names");
    this.texts = element("div", "fl-texts");
    this.space = element("div", "fl-space", null, this.canvas, this.names, this.texts);
    this.rows.append(this.space);
    this.note = element("div", "fl-note");
    this.root.append(this.rows, this.note);
    this.rows.addEventListener("scroll", () => viewer.soon());
    this.listen();
  }

  get run() {
    return this.viewer.runs[this.number];
  }

  listen() {
    const { viewer, rows } = this;
    const x = (event) => event.clientX - this.canvas.getBoundingClientRect().left;
    rows.addEventListener("wheel", (event) => {
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
        viewer.pan((event.deltaX || event.deltaY) / viewer.scale.width);
      } else if (event.ctrlKey || viewer.alone || viewer.root.contains(document.activeElement)) {
        // Else the notebook scrolls: a reader who passes by does not zoom.
        viewer.zoom(Math.exp(-event.deltaY / 400), viewer.scale.time(x(event)));
      } else return;
      event.preventDefault();
    }, { passive: false });
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, top: rows.scrollTop, window: { ...viewer.window }, moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const by = event.clientX - from.x, down = event.clientY - from.y;
      from.moved ||= Math.abs(by) + Math.abs(down) > 3;
      if (!from.moved) return;
      const time = by * viewer.scale.pixel;
      viewer.show(from.window.begin - time, from.window.end - time);
      rows.scrollTop = from.top - down;
    });
    this.canvas.addEventListener("pointerup", (event) => {
      rows.focus({ preventScroll: true }); // a notebook takes the focus for its cell
      if (from && !from.moved) this.clicked(x(event), event.clientY - this.canvas.getBoundingClientRect().top);
      from = null;
    });
  }

  clicked(x, y) {
    const { viewer, run } = this;
    const row = Math.floor((y + this.top) / ROW);
    if (row < 0 || row >= run.fibers.length) return;
    // Of the spans under the pointer's pixel the longest is meant.
    const from = viewer.scale.time(x - 1), to = viewer.scale.time(x + 1);
    let span = -1;
    for (let i = run.firstAfter(row, from); i < run.from[row + 1] && run.start[i] <= to; i++) {
      if (span < 0 || run.end[i] - run.start[i] > run.end[span] - run.start[span]) span = i;
    }
    viewer.choose(this.number, row, span);
  }

  /** Scroll a row into view. */
  reveal(row) {
    const y = row * ROW, { scrollTop, clientHeight } = this.rows;
    if (y < scrollTop) this.rows.scrollTop = y;
    else if (y + ROW > scrollTop + clientHeight) this.rows.scrollTop = y + ROW - clientHeight;
  }

  /** Give the rows their height. */
  size() {
    const whole = Math.max(1, this.run.fibers.length) * ROW;
    if (whole === this.whole) return;
    this.whole = whole;
    this.height = Math.min(MOST_ROWS * ROW, whole);
    this.rows.style.height = `${this.height}px`;
    this.space.style.height = `${whole}px`;
  }

  paint(scale, inks) {
    const { viewer, run } = this, { chosen, cursor } = viewer;
    const { height } = this;
    this.top = this.rows.scrollTop;
    paintHead(fit(this.head, scale.width, QUEUE + POLLS), run, scale, inks);
    this.most.textContent = `(at most ${run.deepest.toLocaleString("en")})`;
    const mine = chosen.track === this.number;
    const view = paintRows(fit(this.canvas, scale.width, height), run, scale, inks, this.top, height, {
      row: mine ? chosen.row : -1, span: mine ? chosen.span : -1,
      time: cursor?.track === this.number ? cursor.time : null,
    });
    this.nameRows(view);
    this.label(view);
    const count = (number) => number.toLocaleString("en");
    this.note.textContent = [
      this.whole > height ? `${count(run.fibers.length)} fibers: scroll down for the others` : "",
      view.arrows ? `${count(view.arrows)} wakes are not drawn: zoom in, or choose a fiber` : "",
    ].filter(Boolean).join("; ");
    const { id, name } = run.fibers[chosen.row] ?? {};
    this.rows.setAttribute("aria-label", `${run.fibers.length} fibers`
      + `${mine && chosen.row >= 0 ? `; chosen: #${id} ${name}` : ""}; arrows move, plus and minus zoom, Enter tells of the next bar`);
  }

  nameRows(view) {
    const { run, viewer } = this, key = `${view.from} ${view.to} ${viewer.chosen.track} ${viewer.chosen.row}`;
    if (this.shown === key && !this.renamed) return;
    this.shown = key;
    this.renamed = false;
    this.names.replaceChildren();
    for (let row = view.from; row < view.to; row++) {
      const life = run.fibers[row];
      const name = element("span", "", `${life.depth ? "└ " : ""}#${life.id} ${life.name}`);
      name.style.top = `${row * ROW}px`;
      name.title = life.name;
      const chosen = viewer.chosen.track === this.number && viewer.chosen.row === row;
      name.classList.toggle("fl-chosen", chosen);
      name.addEventListener("click", () => viewer.choose(this.number, row, -1));
      this.names.append(name);
    }
  }

  /** Write beside the steps that held the loop which line it was, the longest first. */
  label(view) {
    const taken = [];
    this.texts.replaceChildren();
    for (const held of view.held.sort((a, b) => b.length - a.length)) {
      if (taken.length >= MOST_LABELS) break;
      const width = 7 * held.text.length + 8;
      let left = held.b + 6;
      if (width < held.b - held.a - 12) left = held.a + 6;
      else if (left + width > view.scale.width) left = held.a - 6 - width;
      left = Math.max(0, left);
      if (taken.some((box) => Math.abs(box.y - held.y) < ROW - 4 && left < box.right && left + width > box.left)) continue;
      taken.push({ y: held.y, left, right: left + width });
      const text = element("span", "", held.text);
      Object.assign(text.style, { left: `${LABELS + left}px`, top: `${held.y + this.top - 8}px`, color: held.ink });
      this.texts.append(text);
    }
  }
}

/** Make a canvas so many pixels wide and high, sharp on any screen; return what draws on it. */
function fit(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Return the least of 1, 2, 5, 10, ... that is not below a number. */
function nice(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= number * 0.999999);
}
