// DOM helpers, time and text formatting. Elements are built from values and never from markup, so no text can become code.

/** An element with properties, attributes, listeners (`onclick`) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && name !== "list" && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A 24×24 line icon in the text colour. */
export function icon(paths, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  for (const d of [paths].flat()) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

export const ICONS = {
  send: "M4 12 20 4l-4 16-4.5-6.500zM11.5 13.5 20 4",
  reply: "M10 7 5 12l5 5M5 12h9a5 5 0 0 1 5 5",
  smile: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M8.5 14.500a4.5 4.5 0 0 0 7 0M9 9.500v.5M15 9.500v.5"],
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  tap: "M10 7 5 12l5 5M5 12h9a5 5 0 0 1 5 5",
  close: "M6 6l12 12M18 6 6 18",
  link: "M9 15l6-6M8 8H6a4 4 0 0 0 0 8h3M15 8h3a4 4 0 0 1 0 8h-3",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  pin: ["M12 21s7-6.5 7-11a7 7 0 1 0-14 0c0 4.5 7 11 7 11z", "M12 12.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z"],
  person: ["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4 21a8 8 0 0 1 16 0"],
  mic: ["M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3", "M6 11a6 6 0 0 0 12 0M12 17v4"],
  clip: "M20 11.500 12 19.500a5 5 0 0 1-7-7l8-8a3.4 3.4 0 0 1 5 5l-8 8a1.8 1.8 0 0 1-2.600-2.600l7-7",
  picture: ["M4 5h16v14H4z", "M4 16l5-5 5 5M13 14l3-3 4 4", "M15.500 8.500v.01"],
  group: ["M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7", "M2 20a7 7 0 0 1 14 0", "M16 4.500a3.500 3.500 0 0 1 0 6M18 14a7 7 0 0 1 4 6"],
  phone: "M6 3h4l2 5-3 2a12 12 0 0 0 5 5l2-3 5 2v4a2 2 0 0 1-2 2A17 17 0 0 1 4 5a2 2 0 0 1 2-2",
  eye: ["M2 12s4-6.500 10-6.500S22 12 22 12s-4 6.500-10 6.500S2 12 2 12z", "M12 14.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5"],
  alert: "M12 8v5M12 16.500v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
};

const hourMinute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const fullDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayKey = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const DAY_MS = 86_400_000;

export const time = (ms) => hourMinute.format(ms);
export const moment = (ms) => exact.format(ms);
export const sameDay = (a, b) => dayKey.format(a) === dayKey.format(b);

/** "Today", "Yesterday", or the day, as seen at `now`. */
export function day(ms, now) {
  if (sameDay(ms, now)) return "Today";
  if (sameDay(ms, now - DAY_MS)) return "Yesterday";
  return fullDay.format(ms);
}

/** "23 h 59 min", "12 min", "40 s". */
export function span(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return minutes >= 1 ? `${minutes} min` : `${Math.max(0, Math.ceil(ms / 1000))} s`;
}

const MARKS = { "*": "strong", _: "em", "~": "s", "`": "code" };
// WhatsApp's formatting marks, and web addresses.
const FORMATTING = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)])|(?<![\p{L}\p{N}])([*_~`])(?=\S)(.+?)(?<=\S)\2(?![\p{L}\p{N}])/gu;

/** Text with WhatsApp formatting (bold, italic, strikethrough, code) and clickable addresses. */
export function rich(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(FORMATTING)) {
    parts.push(text.slice(done, found.index));
    const [all, address, mark, inside] = found;
    parts.push(address
      ? h("a", { href: address, target: "_blank", rel: "noreferrer noopener" }, address)
      : h(MARKS[mark], {}, mark === "`" ? inside : rich(inside)));
    done = found.index + all.length;
  }
  parts.push(text.slice(done));
  return parts;
}
