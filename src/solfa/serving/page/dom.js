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
