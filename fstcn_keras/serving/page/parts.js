// Small helpers that the other files share.

export const NONE = "none of the classes";  // of a video that is refused

export const at = (id) => document.getElementById(id);

export function add(parent, kind, className, text = "") {
  const made = parent.appendChild(document.createElement(kind));
  made.className = className;
  made.textContent = text;
  return made;
}

export const seconds = (time) => time.toFixed(1);

export function size(bytes) {
  if (bytes < 1024 ** 2) return `${Math.ceil(bytes / 1024)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(bytes < 10 * 1024 ** 2 ? 1 : 0)} MiB`;
}
