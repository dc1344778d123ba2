// Fingers and mouse on the map: a tap, a drag, two fingers, a line that is drawn, a wheel.

const STILL = 6; // pixels that a tap may slip
const WHEEL_STEP = 1.2;

// `does` has: tap(place), pan(x, y), zoom(place, factor), draw(line), drawn(line), hover(place or null), isDrawing(event).
export function followPointers(canvas, does) {
  const pointers = new Map(); // number -> place, of all that are down
  let line = null; // that is being drawn
  let way = 0; // how far all of it went
  const at = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const middle = () => mean([...pointers.values()]);
  const spread = () => {
    const [[x1, y1], [x2, y2]] = [...pointers.values()];
    return Math.max(1, Math.hypot(x1 - x2, y1 - y2));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 1) [way, line] = [0, does.isDrawing(event) ? [at(event)] : null];
    else [way, line] = [Infinity, null]; // two fingers draw nothing and tap nothing
    does.draw(line);
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") does.hover(place);
      return;
    }
    way += Math.hypot(place[0] - before[0], place[1] - before[1]);
    if (line) {
      line.push(place);
      does.draw(line);
    } else if (pointers.size === 1) {
      if (way > STILL) does.pan(place[0] - before[0], place[1] - before[1]);
    } else if (pointers.size === 2) {
      const [wide, [x, y]] = [spread(), middle()];
      pointers.set(event.pointerId, place);
      const now = middle();
      does.pan(now[0] - x, now[1] - y);
      does.zoom(now, spread() / wide);
    }
    pointers.set(event.pointerId, place);
  });
  const end = (event, isDone) => {
    if (!pointers.delete(event.pointerId) || pointers.size) return;
    const drawn = line;
    line = null;
    does.draw(null);
    if (!isDone) return;
    if (way <= STILL) does.tap(at(event));
    else if (drawn) does.drawn(drawn);
  };
  canvas.addEventListener("pointerup", (event) => end(event, true));
  canvas.addEventListener("pointercancel", (event) => end(event, false));
  canvas.addEventListener("pointerleave", () => does.hover(null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    does.zoom(at(event), event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP);
  }, { passive: false });
  for (const event of ["touchstart", "touchmove"]) { // one finger scrolls the page, two never do
    canvas.addEventListener(event, (touch) => touch.touches.length > 1 && touch.preventDefault(), { passive: false });
  }
}

function mean(places) {
  return [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length);
}

// Whether a ray from the place crosses the line an odd number of times.
export function isInside([x, y], line) {
  let inside = false;
  for (let n = 0, before = line.length - 1; n < line.length; before = n, n += 1) {
    const [x1, y1] = line[n];
    const [x2, y2] = line[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
