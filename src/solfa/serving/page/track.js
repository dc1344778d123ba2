// The view of one track: waveform, what is like it, tags, tags over time, and how alike its parts are.

import { api } from "./api.js";
import { byline, clock, color, drawn, h, icon } from "./dom.js";
import { player } from "./player.js";
import { message, rows } from "./rows.js";
import { listen, playButton, wave } from "./wave.js";

const SHOWN_BARS = 12;
const WORDLESS = "Tags are words, and the model of this library knows none. Index the music with a music-text model to see them.";
const FACTS = ["album", "year", "genre", "composer", "bpm", "tempo_bpm", "licence"];

export async function showTrack(view, id, library, signal) {
  const track = await api.track(id, signal);
  const likeMoment = () => (location.hash = `#/search?q=${id}@${clock(player.isAt(track) ? player.seconds : 0)}`);
  const picture = wave(track);
  picture.classList.add("tall");
  const similar = section("Sounds like it", "similar");
  const bars = section("Tags", "tags");
  const time = section("Tags over time", "time");
  const self = section("How alike its parts are", "self");
  view.replaceChildren(
    h("nav", { class: "crumb", "aria-label": "Back" }, h("button", { class: "quiet", type: "button", onclick: () => history.back() }, icon("back"), "Back")),
    h(
      "div",
      { class: "lead" },
      playButton(track, () => (player.isAt(track) ? player.seconds : 0), `Play ${track.title}`),
      h("div", { class: "words" }, h("h1", {}, track.title), h("p", { class: "by" }, facts(track))),
      h(
        "div",
        { class: "actions" },
        h("a", { class: "quiet", href: `#/search?q=${id}` }, icon("like"), "More like this"),
        h("button", { class: "quiet", type: "button", onclick: likeMoment }, "Like this moment"),
      ),
    ),
    h("div", { class: "stage" }, picture, axis(track.seconds)),
    h("div", { class: "columns" }, h("div", {}, similar), h("div", {}, library.knows_words ? bars : self)),
    library.knows_words ? h("div", { class: "columns" }, h("div", {}, time), h("div", {}, self)) : bars,
  );
  listen(picture, () => player.isAt(track) && picture.redraw());
  const fill = (part, work) => work.catch((error) => error.name === "AbortError" || part.append(h("p", { class: "note" }, error.message)));
  await Promise.all([
    fill(similar, fillSimilar(similar, id, signal)),
    fill(self, fillSelf(self, track, signal)),
    library.knows_words
      ? fill(bars, fillTags(bars, time, track, signal))
      : bars.append(h("p", { class: "note" }, WORDLESS)),
  ]);
}

function section(title, name) {
  return h("section", { class: `part ${name}`, "aria-labelledby": `part-${name}` }, h("h2", { id: `part-${name}` }, title));
}

function facts(track) {
  const known = FACTS.filter((name) => track.tags[name]).map((name) => track.tags[name]);
  const rate = `${(track.sample_rate / 1000).toLocaleString("en")} kHz`;
  return [byline(track), ...known, clock(track.seconds), rate, `no. ${track.id}`, track.file].join("  ·  ");
}

function axis(seconds) {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((one) => seconds / one <= 8) ?? 7200;
  const marks = [];
  for (let at = 0; at < seconds - step / 3; at += step) {
    const mark = h("span", {}, clock(at));
    mark.style.left = `${(at / seconds) * 100}%`;
    marks.push(mark);
  }
  return h("div", { class: "axis", "aria-hidden": "true" }, marks);
}

async function fillSimilar(part, id, signal) {
  const { matches } = await api.similar(id, undefined, signal);
  part.append(
    matches.length
      ? rows(matches, "Tracks that sound like it", "rows compact")
      : h("p", { class: "note" }, "There is no other track in the library."),
  );
}

async function fillTags(bars, time, track, signal) {
  const list = h("div");
  const input = h("input", { type: "text", id: "own-tags", maxlength: 300, placeholder: "piano, rain, a capella", autocomplete: "off" });
  const form = h("form", { class: "own" }, h("label", { class: "unseen", for: "own-tags" }, "Tags of your own, between commas"), input, h("button", { class: "quiet", type: "submit" }, "Try tags"));
  const show = async () => {
    const wanted = input.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    const answer = await api.tags(track.id, wanted.length ? wanted : undefined, signal);
    list.replaceChildren(barList(answer));
    time.querySelector(".strips, .note")?.remove();
    time.append(strips(answer, track));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show().catch((error) => list.replaceChildren(h("p", { class: "note", role: "alert" }, error.message)));
  });
  bars.append(list, form);
  await show();
}

// The tags that are sure, with their confidence; of tags of one's own all.
function shownTags({ bars }) {
  return bars.map((bar, n) => ({ ...bar, n })).filter(({ is_sure, family }) => is_sure || family === "yours").slice(0, SHOWN_BARS);
}

function barList(answer) {
  const rows = shownTags(answer).map(({ tag, confidence }) => {
    const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span"));
    bar.firstChild.style.width = `${confidence * 100}%`;
    return h("li", {}, h("span", { class: "tag" }, tag), bar, h("span", { class: "value" }, `${Math.round(confidence * 100)} %`));
  });
  if (!rows.length) return h("p", { class: "note" }, "The model is not sure of any tag.");
  return h("div", {}, h("ol", { class: "bars", "aria-label": "Tags" }, rows), h("p", { class: "note" }, "How sure the model is, beside other tags of the kind and any music."));
}

function strips(answer, track) {
  const { starts, ends, over_time } = answer;
  const rows = shownTags(answer).map(({ tag, n }) => {
    const levels = over_time[n];
    const best = levels.indexOf(Math.max(...levels));
    const canvas = h("canvas", { class: "strip", "aria-hidden": "true" });
    drawn(canvas, (context, width, height) => {
      context.fillStyle = color("--accent");
      levels.forEach((level, at) => {
        const left = (starts[at] / track.seconds) * width;
        context.globalAlpha = 0.06 + 0.94 * level ** 2;
        context.fillRect(left, 0, Math.max(1, (ends[at] / track.seconds) * width - left - 1), height);
      });
    });
    canvas.addEventListener("click", (event) => player.play(track, place(event, canvas) * track.seconds));
    const label = `${tag}: strongest from ${clock(starts[best])}`;
    const button = h("button", { type: "button", class: "tag", title: label, "aria-label": `${label}, play`, onclick: () => player.play(track, starts[best]) }, tag);
    return h("li", {}, button, canvas);
  });
  if (!rows.length) return h("p", { class: "note" }, "The model is not sure of any tag.");
  return h("ol", { class: "strips", "aria-label": "Tags over time" }, rows);
}

async function fillSelf(part, track, signal) {
  const { starts, ends, cosines } = await api.similarity(track.id, signal);
  const n = starts.length;
  if (n < 2) {
    part.append(h("p", { class: "note" }, "The track is too short to have parts."));
    return;
  }
  const canvas = h("canvas", { class: "matrix", role: "img", "aria-label": selfSummary(starts, cosines) });
  const caption = h("p", { class: "note" }, "Both axes are time. Strong squares sound alike; click to hear one.");
  const total = ends[n - 1];
  drawn(canvas, (context, width, height) => {
    context.fillStyle = color("--accent");
    cosines.forEach((line, y) => line.forEach((value, x) => {
      const [left, top] = [(starts[x] / total) * width, (starts[y] / total) * height];
      context.globalAlpha = 0.03 + 0.97 * Math.max(0, value) ** 1.5;
      context.fillRect(left, top, ((ends[x] - starts[x]) / total) * width + 0.5, ((ends[y] - starts[y]) / total) * height + 0.5);
    }));
  });
  const at = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const find = (share) => Math.min(n - 1, ends.findIndex((end) => share * total < end) + 0 || 0);
    return [find((event.clientX - left) / width), find((event.clientY - top) / height)];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    caption.textContent = `${clock(starts[x])} and ${clock(starts[y])}: ${cosines[y][x].toFixed(2)}`;
  });
  canvas.addEventListener("click", (event) => player.play(track, starts[at(event)[0]]));
  part.append(canvas, caption);
}

function selfSummary(starts, cosines) {
  let best = [-2, 0, 0];
  cosines.forEach((line, y) => line.forEach((value, x) => {
    if (x > y + 1 && value > best[0]) best = [value, y, x];
  }));
  const words = best[0] > -2 ? ` Most alike, apart from neighbours: ${clock(starts[best[1]])} and ${clock(starts[best[2]])}.` : "";
  return `Self-similarity of ${starts.length} parts.${words}`;
}

function place(event, element) {
  const { left, width } = element.getBoundingClientRect();
  return (event.clientX - left) / width;
}

export function lost(error) {
  return message("No such track", error.message, h("a", { class: "quiet", href: "#/" }, "All tracks"));
}
