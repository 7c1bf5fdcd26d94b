// Shows a video: the browser's own player where it plays the file, else pictures from the server.

import { seconds } from "./parts.js";

export class Player {
  constructor(figure, file) {
    this.figure = figure;
    this.video = figure.querySelector("video");
    this.image = figure.querySelector("img");
    this.slider = figure.querySelector("input");
    this.button = figure.querySelector(".play");
    this.pictures = [];
    this.onTime = () => {};
    this.video.addEventListener("loadeddata", () => { if (this.video.videoWidth) this.showVideo(); });
    this.video.addEventListener("timeupdate", () => this.onTime(this.video.currentTime));
    this.slider.addEventListener("input", () => this.show(+this.slider.value));
    this.button.addEventListener("click", () => this.toggle());
    this.url = URL.createObjectURL(file);
    this.video.src = this.url;
  }

  showVideo() {
    this.stop();
    this.figure.hidden = this.video.hidden = false;
    this.image.hidden = this.figure.querySelector(".controls").hidden = true;
  }

  addPicture(picture, length) {
    this.pictures.push(picture);
    this.length = length;
    this.slider.max = this.pictures.length - 1;
    if (this.pictures.length > 1 || !this.video.hidden) return;
    this.figure.hidden = this.image.hidden = this.figure.querySelector(".controls").hidden = false;
    this.show(0);
  }

  show(number) {
    const picture = this.pictures[number];
    this.image.src = `data:image/jpeg;base64,${picture.jpeg}`;
    this.slider.value = number;
    const text = `${seconds(picture.time_s)} of ${seconds(this.length)} s`;
    this.slider.setAttribute("aria-valuetext", text);
    this.figure.querySelector("output").textContent = text;
    this.onTime(picture.time_s);
  }

  seek(time) {
    if (!this.video.hidden) {
      this.video.currentTime = time;
    } else if (this.pictures.length) {
      const later = this.pictures.findIndex((picture) => picture.time_s >= time);
      this.show(later < 0 ? this.pictures.length - 1 : later);
    }
  }

  toggle() {
    if (this.timer) this.stop();
    else this.play();
  }

  play() {
    const now = +this.slider.value, next = (now + 1) % this.pictures.length;
    const gap = this.pictures[next].time_s - this.pictures[now].time_s;
    this.button.textContent = "Pause";
    this.timer = setTimeout(() => {
      this.show(next);
      this.play();
    }, 1000 * (gap > 0 && gap < 1 ? gap : 0.4));
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
  }

  close() {
    this.stop();
    this.video.removeAttribute("src");
    URL.revokeObjectURL(this.url);
  }
}
