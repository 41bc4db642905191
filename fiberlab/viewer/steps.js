// Stepping: one event after the other, with what was so at that moment and one sentence why.
//
// The rule kept here: all text is put in as text. What a trace says is never markup.

import { readable } from "./run.js";

/** Make an element with its class, its text and its children. */
export function element(tag, name, text, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined && text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

/** Make a button; hint: what it does, in words. */
export function button(text, hint, press) {
  const made = element("button", "", text);
  made.type = "button";
  made.title = hint;
  made.setAttribute("aria-label", hint);
  made.addEventListener("click", press);
  return made;
}

/** The panel that steps through a run; moved: is called with each new event. */
export class Steps {
  constructor(moved) {
    this.moved = moved;
    this.run = null;
    this.event = 0;
    this.row = -1; // the fiber whose events `own` steps to
    this.asked = null;
    this.root = element("section", "fl-steps");
    this.root.setAttribute("aria-label", "stepping");
    this.buttons = element("div", "fl-buttons");
    const moves = [
      ["◀◀ pass", "one pass back (Shift+Left)", () => this.byPass(-1)],
      ["◀ event", "one event back (Left)", () => this.byEvent(-1)],
      ["event ▶", "one event forward (Right)", () => this.byEvent(1)],
      ["pass ▶▶", "one pass forward (Shift+Right)", () => this.byPass(1)],
      ["▲ fiber", "the event before of this fiber (Up)", () => this.ofFiber(-1)],
      ["fiber ▼", "the next event of this fiber (Down)", () => this.ofFiber(1)],
    ];
    for (const move of moves) this.buttons.append(button(...move));
    this.asks = element("input");
    this.asks.type = "checkbox";
    this.buttons.append(element("label", "", "", this.asks, " ask me which fiber runs next"));
    this.where = element("div", "fl-where");
    this.says = element("p", "fl-sentence");
    this.says.setAttribute("aria-live", "polite");
    this.question = element("div", "fl-question");
    this.question.setAttribute("aria-live", "polite");
    this.lists = element("div", "fl-lists");
    this.source = element("pre", "fl-source");
    this.root.append(this.buttons, this.where, this.says, this.question, this.lists, this.source);
  }

  /** Show an event of a run. */
  show(run, event, row = this.row) {
    Object.assign(this, { run, row, event: Math.max(0, Math.min(run.events - 1, event)) });
    this.question.replaceChildren();
    this.asked = null;
    if (!run.events) {
      this.says.textContent = "This run has no events.";
      return;
    }
    this.draw();
    this.moved(run, this.event);
  }

  byEvent(direction) {
    const next = this.event + direction;
    if (direction > 0 && this.asks.checked && this.asksAbout(next)) return;
    this.show(this.run, next);
  }

  byPass(direction) {
    this.show(this.run, this.run.pass(this.event, direction));
  }

  ofFiber(direction) {
    const row = this.row >= 0 ? this.row : this.run.columns.eventRow[this.event];
    const next = row < 0 ? this.event + direction : this.run.eventOf(row, this.event, direction);
    if (next >= 0) this.show(this.run, next, row);
  }

  /** Do what an arrow stands for; return whether the key stands for anything. */
  pressed(key) {
    const moves = {
      ArrowLeft: () => (key.shiftKey ? this.byPass(-1) : this.byEvent(-1)),
      ArrowRight: () => (key.shiftKey ? this.byPass(1) : this.byEvent(1)),
      ArrowUp: () => this.ofFiber(-1),
      ArrowDown: () => this.ofFiber(1),
    };
    moves[key.key]?.();
    return key.key in moves;
  }

  /** Ask which fiber runs next, if the next event resumes one; the answer is a click. */
  asksAbout(next) {
    const queue = this.run.moment(this.event).queue;
    const runs = next < this.run.events && this.run.spanAfterEvent(this.run.columns.eventRow[next], next);
    const resumes = runs >= 0 && this.run.first[runs] === next && this.run.state[runs] === this.run.running;
    if (!resumes || queue.length < 2 || this.asked === next) return false;
    this.asked = next;
    const right = this.run.columns.eventRow[next];
    const answers = queue.map(({ row }) => row).sort((a, b) => a - b).map((row) => {
      const name = this.run.nameOf(row);
      return button(name, name, () => {
        const said = row === right ? `Right: ${name} runs next.`
                                   : `No: ${this.run.nameOf(right)} runs next, not ${name}.`;
        this.show(this.run, next);
        this.question.replaceChildren(element("strong", "", said));
      });
    });
    this.question.replaceChildren(element("strong", "", "Which fiber runs next? "), ...answers);
    answers[0].focus();
    return true;
  }

  draw() {
    const { run, event } = this;
    const now = run.moment(event), names = (list) => list.map(({ row }) => run.nameOf(row));
    this.where.textContent = `event ${(event + 1).toLocaleString("en")} of ${run.events.toLocaleString("en")}`
      + ` at ${(run.columns.eventTime[event] / 1e6).toLocaleString("en", { maximumFractionDigits: 3 })} ms`;
    this.says.textContent = run.sentence(event);
    const asleep = ({ row, left }) => run.nameOf(row) + (left > 0 ? ` for ${readable(left)} more` : "");
    const polled = ({ row, state, number }) => `${run.nameOf(row)}: ${state} on ${number}`;
    this.lists.replaceChildren(
      list("running", now.running < 0 ? [] : [run.nameOf(now.running)]),
      list("run queue, the front first", names(now.queue)),
      list("parked", names(now.parked)),
      list("sleepers", now.sleeping.map(asleep)),
      list("polled sockets", now.sockets.map(polled)),
      ...(now.unknown.length ? [list("waiting, not known for what", names(now.unknown))] : []),
    );
    this.quote(run.line(event), run.quoted(event));
  }

  /** Show the lines of source around a place, with its own marked. */
  quote(line, lines) {
    const number = Number(line.slice(line.lastIndexOf(":") + 1));
    this.source.replaceChildren(element("div", "fl-file", line || "line not known"));
    for (const [at, text] of lines) {
      const here = at === number;
      const row = element("div", here ? "fl-here" : "", `${here ? "▶" : " "} ${String(at).padStart(4)}  ${text}`);
      if (here) row.setAttribute("aria-current", "true");
      this.source.append(row);
    }
  }
}

const MOST_LISTED = 30;

function list(title, items) {
  const made = element("div", "fl-list", null, element("h4", "", `${title} (${items.length})`));
  const shown = items.slice(0, MOST_LISTED);
  if (items.length > MOST_LISTED) shown.push(`and ${items.length - MOST_LISTED} more`);
  made.append(element("ol", "", null, ...shown.map((item) => element("li", "", item))));
  return made;
}
