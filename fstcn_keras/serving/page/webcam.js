// Records a few seconds with the webcam.

import { at } from "./parts.js";

const LENGTH_S = 4;
const TYPES = ["video/webm", "video/mp4"];

export const canRecord = () => !!(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

// Returns a promise of the recording, or of nothing if it was cancelled.
export async function record(limits) {
  const width = Math.min(640, Math.floor(Math.sqrt(limits.pixels * 4 / 3)));
  const video = { width: { max: width }, height: { max: Math.floor(width * 3 / 4) } };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  const type = TYPES.find((one) => MediaRecorder.isTypeSupported(one));
  const recorder = new MediaRecorder(stream, { mimeType: type });
  const pieces = [];
  let cancelled = false;
  const done = new Promise((resolve) => {
    recorder.onstop = resolve;
    at("camera-cancel").onclick = () => {
      cancelled = true;
      if (recorder.state === "recording") recorder.stop();
      else resolve();
    };
  });
  recorder.ondataavailable = (event) => pieces.push(event.data);
  at("camera-picture").srcObject = stream;
  at("camera").hidden = false;
  at("camera-cancel").focus();
  try {
    await at("camera-picture").play();
    at("camera-state").textContent = `Recording ${LENGTH_S} seconds: act now.`;
    if (!cancelled) recorder.start();
    setTimeout(() => { if (recorder.state === "recording") recorder.stop(); }, 1000 * LENGTH_S);
    await done;
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    at("camera-picture").srcObject = null;
    at("camera").hidden = true;
    at("camera-state").textContent = "";
  }
  return cancelled ? null : new File(pieces, `webcam.${type.split("/")[1]}`, { type });
}
