// One file: its card on the page, from waiting to the answer.

import { NONE, add, at, seconds, size } from "./parts.js";
import { Player } from "./player.js";
import { offerSaliency } from "./saliency.js";
import { send } from "./send.js";
import { Timeline } from "./timeline.js";

const BARS = 10;

export class Result {
  constructor(file, { again }) {
    this.file = file;
    this.control = new AbortController();
    this.card = at("result").content.firstElementChild.cloneNode(true);
    this.part(".file").textContent = file.name;
    this.player = new Player(this.part(".player"), file);
    this.timeline = new Timeline(this.part(".time"), (time) => this.player.seek(time));
    this.player.onTime = (time) => this.timeline.mark(time);
    this.part(".cancel").addEventListener("click", () => this.cancel());
    this.part(".remove").addEventListener("click", () => this.remove());
    this.part(".again").addEventListener("click", () => { this.remove(); again(file); });
    this.part(".copy").addEventListener("click", () => this.copy());
    this.part("progress").setAttribute("aria-label", `Progress of ${file.name}`);
    this.working("Waiting for the videos before it ...");
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  working(text, share) {
    const progress = this.part("progress");
    if (share === undefined) progress.removeAttribute("value");
    else progress.value = share;
    if (this.part(".state").textContent !== text) this.part(".state").textContent = text;
  }

  async score() {
    if (this.control.signal.aborted) return;
    const begin = performance.now();
    let error = "";
    try {
      await send("page/scores", this.file, {
        signal: this.control.signal,
        told: (event) => { error = event.error || error; this.hear(event, begin); },
      });
      if (!this.done && !error) error = "The connection broke off.";
    } catch (failure) {
      error = failure.message;
    }
    this.end(this.control.signal.aborted ? "Cancelled." : error);
  }

  hear(event, begin) {
    if ("sent" in event) {
      if (event.sent < 1) this.working("Sending ...", event.sent);
      else this.working("Decoding ...");
    } else if (event.video) {
      this.video = event.video;
      this.length = event.seconds;
      this.working("Scoring the whole video ...");
    } else if (event.picture) {
      this.player.addPicture(event.picture, this.video.length_s);
    } else if (event.prediction) {
      this.prediction = event.prediction;
      this.showScores();
      this.showCertainty();
      this.showSent((performance.now() - begin) / 1000);
      const { classes } = event.prediction, { signal } = this.control;
      offerSaliency(this.part(".saliency"), this.file, { clips: event.clips, classes, signal });
      this.working("Scoring second by second ...", 0);
    } else if (event.second) {
      this.timeline.add(event.second);
      this.working("Scoring second by second ...", this.timeline.seconds.length / this.length);
    } else if (event.done) {
      this.done = true;
    }
  }

  end(error) {
    this.part(".work").hidden = this.part(".cancel").hidden = true;
    this.part(".error").textContent = error;
    this.part(".remove").hidden = false;
    this.part(".again").hidden = this.done;
  }

  cancel() {
    this.control.abort();
    this.end("Cancelled.");
    this.part(".again").focus();
  }

  remove() {
    this.control.abort();
    this.player.close();
    this.card.remove();
    at("files").focus();
  }

  showScores() {
    const { classes, scores, rejected } = this.prediction;
    this.part(".best").textContent = rejected ? NONE : classes[0];
    classes.slice(0, BARS).forEach((name, rank) => {
      const row = add(this.part(".bars"), "li", "");
      add(row, "span", "name", name);
      add(row, "span", "number", scores[rank].toFixed(3));
      add(add(row, "div", "track"), "div", "bar").style.width = `${100 * scores[rank]}%`;
    });
    this.part(".scores").hidden = this.part(".ends").hidden = false;
  }

  showCertainty() {
    this.prediction.sci.forEach((crops, clip) => {
      const figure = add(this.part(".views"), "figure", "");
      add(figure, "figcaption", "quiet", `clip ${clip + 1}`);
      const grids = add(figure, "div", "grids");
      for (const half of [crops.slice(0, 9), crops.slice(9)]) {
        const grid = add(grids, "div", "grid");
        half.forEach((value) => {
          const cell = add(grid, "span", "number", value.toFixed(2));
          cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(40 * value)}%, transparent)`;
        });
      }
    });
    this.part(".certainty").hidden = false;
  }

  showSent(took) {
    const { num_frames, sci, incomplete, notes } = this.prediction;
    this.part(".sent").textContent =
      `${size(this.file.size)}, ${num_frames} frames, ${seconds(this.video.length_s)} s. Scored as ` +
      `${sci.length} clips of ${sci[0].length} crops in ${seconds(took)} s.`;
    this.part(".sent").hidden = false;
    this.part(".incomplete").textContent = [incomplete, notes].filter(Boolean).join("; ");
  }

  async copy() {
    const { prediction, timeline } = this;
    const text = JSON.stringify({ file: this.file.name, ...prediction, seconds: timeline.seconds }, null, 1);
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not over plain HTTP, except to this machine
      const area = add(this.card, "textarea", "");
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.part(".copied").textContent = "Copied.";
  }
}
