// Asks where the network sees a class, and draws the answer over the picture.

import { add, seconds } from "./parts.js";
import { send } from "./send.js";

const HOT = [255, 176, 32];
const FAINT = 0.02;  // a fall of the score under which even the brightest place stays dark

export function offerSaliency(details, file, { clips, classes, signal }) {
  const [clip, name] = [details.querySelector(".clip"), details.querySelector(".name")];
  clips.forEach(({ start_s, end_s, name: best }, number) => {
    const option = add(clip, "option", "");
    option.textContent = `${number + 1}: ${seconds(start_s)} to ${seconds(end_s)} s, ${best}`;
    option.value = number;
  });
  classes.forEach((one) => add(name, "option", "", one));
  clip.value = Math.max(0, clips.findIndex((one) => one.name === classes[0]));
  const button = details.querySelector(".explain");
  button.addEventListener("click", async () => {
    const told = details.querySelector(".told");
    button.disabled = true;
    told.textContent = "Places are covered ...";
    try {
      const query = new URLSearchParams({ clip: clip.value, name: name.value });
      const answer = JSON.parse(await send(`page/saliency?${query}`, file, { signal }));
      told.textContent = inWords(answer, name.value);
      await draw(details.querySelector("canvas"), answer, told.textContent);
    } catch (error) {
      if (!signal.aborted) told.textContent = error.message;
    }
    button.disabled = false;
  });
  details.hidden = false;
}

function inWords({ score, drops }, name) {
  const most = Math.max(...drops.flat());
  if (most <= 0) return `No single place matters: covered or not, each leaves ${name} at ${score.toFixed(3)} or more.`;
  return `Without the brightest place the score of ${name} in this clip ` +
    `falls from ${score.toFixed(3)} to ${(score - most).toFixed(3)}.`;
}

async function draw(canvas, { drops, jpeg }, text) {
  const picture = new Image();
  picture.src = `data:image/jpeg;base64,${jpeg}`;
  await picture.decode();
  const most = Math.max(...drops.flat(), FAINT);
  const map = new ImageData(drops[0].length, drops.length);
  drops.flat().forEach((drop, place) => {
    map.data.set([...HOT, 210 * Math.max(0, drop) / most], 4 * place);
  });
  const small = document.createElement("canvas");
  [small.width, small.height] = [map.width, map.height];
  small.getContext("2d").putImageData(map, 0, 0);
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const brush = canvas.getContext("2d");
  brush.filter = "grayscale(1) brightness(.75)";
  brush.drawImage(picture, 0, 0);
  brush.filter = "none";
  brush.imageSmoothingQuality = "high";
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", `A frame of the clip. ${text}`);
  canvas.hidden = false;
}
