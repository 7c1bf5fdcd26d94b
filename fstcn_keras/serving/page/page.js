// The page: what the model is, and the files that are to be scored, one after another.

import { add, at, size } from "./parts.js";
import { Result } from "./result.js";
import { canRecord, record } from "./webcam.js";

const POLL_MS = 2000;
let limits = null;
let last = Promise.resolve();  // the scoring of the file that was chosen last

function enqueue(files) {
  const refused = [];
  for (const file of files) {
    if (limits && file.size > limits.bytes) {
      refused.push(`${file.name} is ${size(file.size)}: the server takes up to ${size(limits.bytes)}.`);
    } else if (file.size === 0) {
      refused.push(`${file.name} is empty.`);
    } else {
      const result = new Result(file, { again: (one) => enqueue([one]) });
      at("results").append(result.card);
      last = last.then(() => result.score());
    }
  }
  at("refused").textContent = refused.join(" ");
}

async function tell() {
  let about = null;
  try {
    about = await (await fetch("page/model")).json();
  } catch {
    at("glance").textContent = "does not answer: is the server still running?";
  }
  if (about) show(about);
  if (!about?.ready) setTimeout(tell, POLL_MS);
}

function show(about) {
  limits = about.limits;
  at("model").textContent = about.name;
  at("limits").textContent = `Up to ${size(limits.bytes)} and ${limits.frames.toLocaleString("en")} frames ` +
    `each, answered within ${limits.seconds} s. Most formats: avi, mp4, mkv, webm, mov, mpg, gif ...` +
    (canRecord() ? "" : " The webcam needs HTTPS, or a server on this machine.");
  at("webcam").disabled = !canRecord();
  if (!about.ready) {
    at("glance").textContent = "is warming up ...";
    return;
  }
  at("glance").textContent = `(version ${about.version}) knows ${about.classes.length} classes and looks at ${about.clips} clips of a video.`;
  at("classes").querySelector("summary").textContent = `The ${about.classes.length} classes`;
  const list = at("classes").querySelector("ul");
  list.replaceChildren();
  for (const name of about.classes) add(list, "li", "", name);
  at("classes").hidden = false;
  at("classes").open = about.classes.length <= 24;
  offerExamples(about.examples);
}

function offerExamples(names) {
  at("examples").hidden = names.length === 0;
  names.forEach((name, number) => {
    const button = add(at("examples"), "button", "example", `Example: ${name}`);
    button.type = "button";
    button.addEventListener("click", async () => {
      const response = await fetch(`page/examples/${number}`);
      enqueue([new File([await response.blob()], `example ${name}.mp4`, { type: "video/mp4" })]);
    });
  });
}

at("files").addEventListener("change", () => {
  enqueue([...at("files").files]);
  at("files").value = "";  // so that the same file can be chosen again
});

at("webcam").addEventListener("click", async () => {
  at("webcam").disabled = true;
  at("refused").textContent = "";
  try {
    const file = await record(limits);
    if (file) enqueue([file]);
  } catch (error) {
    at("refused").textContent = `The webcam cannot be used: ${error.message}.`;
  }
  at("webcam").disabled = false;
  at("webcam").focus();
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("choose").classList.toggle("over", kind === "dragover");
    if (kind === "drop") enqueue([...event.dataTransfer.files]);
  });
}

tell();
