// Draws the best class of each second, and says the same in words.

import { NONE, add, seconds } from "./parts.js";

const COLOURS = 6;  // --c0 to --c5; further classes are of one colour

const answer = (second) => (second.rejected ? NONE : second.classes[0]);

export class Timeline {
  constructor(section, seek) {
    this.section = section;
    this.strip = section.querySelector(".timeline");
    this.legend = section.querySelector(".legend");
    this.seek = seek;
    this.seconds = [];
    this.classes = [];
  }

  colour(name) {
    const number = this.classes.indexOf(name);
    return `var(--${number < COLOURS ? `c${number}` : "other"})`;
  }

  add(second) {
    const name = answer(second);
    if (!this.classes.includes(name)) this.classes.push(name);
    this.seconds.push(second);
    const column = add(this.strip, "div", "");
    column.title = `${seconds(second.start_s)} to ${seconds(second.end_s)} s: ` +
      second.classes.map((one, rank) => `${one} ${second.scores[rank].toFixed(2)}`).join(", ");
    column.style.setProperty("--colour", this.colour(name));
    add(column, "span", "").style.height = `${100 * second.scores[0]}%`;
    column.addEventListener("click", () => this.seek(second.start_s));
    this.section.hidden = false;
    this.describe();
  }

  // "wave: 0.0 to 2.0 s, 5.0 to 6.0 s", for each answer that is given somewhere
  describe() {
    const spans = new Map(this.classes.map((name) => [name, []]));
    let last = null;
    for (const second of this.seconds) {
      const { start_s, end_s } = second, name = answer(second);
      if (last && last.name === name && last.end_s === start_s) {
        last.end_s = end_s;
      } else {
        last = { name, start_s, end_s };
        spans.get(name).push(last);
      }
    }
    this.legend.replaceChildren();
    for (const [name, found] of spans) {
      const times = found.map((span) => `${seconds(span.start_s)} to ${seconds(span.end_s)} s`);
      add(this.legend, "li", "", `${name}: ${times.join(", ")}`)
        .style.setProperty("--colour", this.colour(name));
    }
  }

  mark(time) {
    [...this.strip.children].forEach((column, number) => {
      const { start_s, end_s } = this.seconds[number];
      column.classList.toggle("now", start_s <= time && time < end_s);
    });
  }
}
