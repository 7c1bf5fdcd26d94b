// Sends a video, and gives on what the server answers, line by line.

const WORDS = {
  0: "The server cannot be reached. Is it still running, and are you connected?",
  408: "The video did not arrive in time. Is the connection slow? Try a shorter video.",
  413: "The video is too large for this server",
  500: "Something went wrong in the server. Its log says what.",
  503: "The server cannot answer now",
};

function inWords(status, text) {
  let told = "";
  try {
    told = JSON.parse(text).error;
  } catch { /* not of this server: a proxy's page */ }
  if (status === 400) return `This cannot be scored: ${told || "the server does not say why"}.`;
  const words = WORDS[status] || `The server answered with status ${status}`;
  return words.endsWith(".") ? words : `${words}${told ? `: ${told}` : ""}.`;
}

// Returns a promise of the whole text. `told` hears of `{sent}` (0 to 1) and of each line's JSON.
export function send(url, file, { signal, told = () => {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let read = 0;
    const readOn = () => {
      for (let end; (end = request.responseText.indexOf("\n", read)) >= 0; read = end + 1) {
        told(JSON.parse(request.responseText.slice(read, end)));
      }
    };
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => told({ sent: event.loaded / event.total });
    request.upload.onload = () => told({ sent: 1 });
    request.onprogress = () => { if (request.status === 200) readOn(); };
    request.onload = () => {
      if (request.status !== 200) {
        reject(new Error(inWords(request.status, request.responseText)));
      } else {
        readOn();
        resolve(request.responseText);
      }
    };
    request.onerror = () => reject(new Error(read ? "The connection broke off." : inWords(0, "")));
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
