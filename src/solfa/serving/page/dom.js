// Elements, icons and words for numbers. All text becomes text nodes: names of files are never markup.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M8 5.500v13l10.500-6.500z",
  pause: "M8 5.500v13M16 5.500v13",
  like: "M4 12h4l3-7 4 14 3-7h2",
  close: "M6 6l12 12M18 6 6 18",
  back: "M14.500 5.500 8 12l6.500 6.500",
  save: "M12 4.500V15m-4.500-4 4.500 4.500L16.500 11M5 16v3.500h14V16",
  sun: "M12 3v2m0 14v2M3 12h2m14 0h2M5.600 5.600 7 7m10 10 1.400 1.400M5.600 18.400 7 17M17 7l1.400-1.400M8.500 12a3.500 3.500 0 1 0 7 0 3.500 3.500 0 1 0-7 0",
  moon: "M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  previous: "M18 6v12l-9-6zM6 6v12",
  next: "M6 6v12l9-6zM18 6v12",
  sound: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM15.500 9a4.200 4.200 0 0 1 0 6m2.500-8.500a8 8 0 0 1 0 11",
  silence: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM16 9.500l4.500 5m0-5-4.500 5",
  queue: "M4 6.500h16M4 12h9M4 17.500h9M16.500 12.500v6l4.500-3z",
  shuffle: "M3.500 7H7l9 10h4.500m-3-3 3 3-3 3M3.500 17H7l2.500-2.800M13.500 9.800 16 7h4.500m-3-3 3 3-3 3",
  repeat: "m7 4-3 3 3 3M4 7h13a3 3 0 0 1 3 3v1M17 20l3-3-3-3m3 3H7a3 3 0 0 1-3-3v-1",
  once: "m7 4-3 3 3 3M4 7h13a3 3 0 0 1 3 3v1M17 20l3-3-3-3m3 3H7a3 3 0 0 1-3-3v-1M10.800 10.800l1.400-.8v4",
  on: "M8 8.500C6 8.500 4.500 10 4.500 12S6 15.500 8 15.500c3.500 0 4.500-7 8-7 2 0 3.500 1.500 3.500 3.500s-1.500 3.500-3.500 3.500c-3.500 0-4.500-7-8-7",
  heart: "M12 19.800C6.500 16 3.800 12.900 3.800 9.600a4.300 4.300 0 0 1 8.200-1.900 4.300 4.300 0 0 1 8.200 1.900c0 3.300-2.700 6.400-8.200 10.200z",
  list: "M4 6.500h16M4 12h16M4 17.500h7m7-3v6m-3-3h6",
  up: "M12 19V5.500M6.500 11 12 5.500l5.500 5.500",
  down: "M12 5v13.500M6.500 13l5.500 5.500 5.500-5.500",
  pen: "M4.500 19.500l1-4L16 5l3 3L8.500 18.500z",
  bin: "M5 7h14M9.500 7V4.500h5V7M7 7l.800 12.500h8.400L17 7",
  lasso: "M13 4c4 .3 7.300 3 7 7.300-.3 4.700-4.300 8.900-9 8.700-4.300-.2-7.300-3.500-7-8C4.300 7.200 8.300 3.700 13 4z",
  all: "M4.500 9V4.500H9M15 4.500h4.500V9M19.500 15v4.500H15M9 19.500H4.500V15",
  filter: "M4 7h16M7 12h10M10 17h4",
  search: "M4 10.500a6.500 6.500 0 1 0 13 0 6.500 6.500 0 1 0-13 0m11.500 5 5 5",
  path: "M5 18.500h9.500a3.250 3.250 0 0 0 0-6.500h-5a3.250 3.250 0 0 1 0-6.500H19m-3-3 3 3-3 3",
  more: "M5.500 12h.01M12 12h.01M18.500 12h.01",
};

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function counted(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

export function byline(track) {
  return track.artist || track.folder.split(/[\\/]/).pop() || track.file;
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A canvas that is drawn again whenever its size or the theme changes.
const drawings = new Map();
const sizes = new ResizeObserver((entries) => entries.forEach((entry) => drawings.get(entry.target)?.()));

export function drawn(canvas, draw) {
  const redraw = () => {
    const { width, height } = canvas.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    draw(context, width, height);
  };
  drawings.set(canvas, redraw);
  sizes.observe(canvas);
  return redraw;
}

export function redrawAll() {
  for (const [canvas, redraw] of drawings) {
    if (canvas.isConnected) redraw();
    else {
      sizes.unobserve(canvas);
      drawings.delete(canvas);
    }
  }
}
