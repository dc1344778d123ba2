// The player: what is heard, what comes next, and what other programs of the machine may ask of it.

import { api } from "./api.js";
import { remember, remembered } from "./memory.js";
import { Queue, REPEATS } from "./queue.js";

const STEP_SECONDS = 5;
const PREPARE_SECONDS = 25; // before the end of a track the next one is fetched
const AGAIN_SECONDS = 3; // from which on "previous" begins the track again
const PATIENCE_MS = 3000; // for reading why a track cannot be played, before the next one
const MOST_DEAD = 5; // tracks one after the other, until nothing more is tried
const ALIKE = 30; // tracks among which the next is looked for that was not heard yet
const DEAD = "This track cannot be played: its file is gone or damaged.";

class Player extends EventTarget {
  constructor() {
    super();
    this.queue = new Queue();
    this.queue.repeat = REPEATS.find((one) => one === remembered("repeat")) ?? "off";
    this.goesOn = remembered("goes-on") === "yes"; // with what sounds like the last track
    this.heard = new Set(); // numbers of tracks
    this.start = 0;
    this.problem = "";
    this.nDead = 0;
    this.audio = this.built();
    this.spare = this.built(); // fetches the next track, so that it begins at once
    this.setVolume(Number(remembered("volume", 1)));
  }

  built() {
    const audio = new Audio();
    audio.preload = "auto";
    const isHeard = () => audio === this.audio;
    for (const event of ["timeupdate", "play", "pause", "seeked", "volumechange"]) {
      audio.addEventListener(event, () => isHeard() && this.tell());
    }
    audio.addEventListener("timeupdate", () => isHeard() && this.prepare());
    audio.addEventListener("ended", () => isHeard() && this.ended());
    audio.addEventListener("error", () => (isHeard() ? this.retry() : this.retrySpare()));
    audio.addEventListener("playing", () => isHeard() && (this.nDead = 0));
    audio.addEventListener("loadedmetadata", () => {
      if (isHeard() && this.start) audio.currentTime = this.start;
    });
    return audio;
  }

  get track() {
    return this.queue.current;
  }

  get isPlaying() {
    return Boolean(this.track) && !this.problem && !this.audio.paused;
  }

  get seconds() {
    return this.audio.readyState ? this.audio.currentTime : this.start;
  }

  isAt(track) {
    return this.track?.id === track.id;
  }

  // A track, and then what stands behind it in its list; of what is queued already nothing is lost.
  play(track, start = 0, among = undefined) {
    if (this.isAt(track) && !this.problem) {
      this.seek(start);
      this.resume();
      return;
    }
    const at = (among ?? this.queue.tracks).findIndex(({ id }) => id === track.id);
    if (among && at >= 0) this.queue.fill(among, at);
    else if (at >= 0) this.queue.at = at;
    else this.queue.fill([track], 0);
    this.begin(start);
  }

  playAll(tracks, isShuffled) {
    if (!tracks.length) return;
    this.queue.shuffle(false);
    this.queue.fill(tracks, isShuffled ? Math.floor(Math.random() * tracks.length) : 0);
    this.queue.shuffle(isShuffled);
    this.begin(0);
  }

  playAt(at) {
    this.queue.at = at;
    this.begin(0);
  }

  begin(start) {
    clearTimeout(this.skipping);
    this.problem = "";
    this.start = start;
    this.heard.add(this.track.id);
    this.audio.pause();
    if (this.spare.dataset.track === String(this.track.id)) [this.audio, this.spare] = [this.spare, this.audio];
    else load(this.audio, this.track);
    this.forgetSpare();
    if (this.audio.readyState) this.audio.currentTime = start;
    this.resume();
  }

  async next() {
    if (this.queue.move(1)) this.begin(0);
    else if (this.goesOn && (await this.findAlike()) && this.queue.move(1)) this.begin(0);
    else this.tell();
  }

  previous() {
    if (!this.track) return;
    if (this.seconds <= AGAIN_SECONDS && this.queue.move(-1)) this.begin(0);
    else this.seek(0);
  }

  ended() {
    if (this.queue.repeat !== "one") return this.next();
    this.seek(0);
    return this.resume();
  }

  // Adds what sounds most like the last track and was not heard yet; whether there is such a track.
  async findAlike() {
    const last = this.queue.tracks.at(-1);
    if (!last || this.isLooking) return false;
    this.isLooking = true;
    try {
      const queued = new Set(this.queue.tracks.map(({ id }) => id));
      const { matches } = await api.similar(last.id, undefined, undefined, ALIKE);
      const fresh = matches.map(({ track }) => track).filter(({ id }) => !queued.has(id));
      const found = fresh.find(({ id }) => !this.heard.has(id)) ?? fresh[0];
      if (found && this.queue.tracks.at(-1) === last) this.queue.add(found);
      return Boolean(found);
    } catch {
      return false; // the page says by itself that the server is gone
    } finally {
      this.isLooking = false;
    }
  }

  async prepare() {
    const { duration, currentTime } = this.audio;
    if (!(duration - currentTime < PREPARE_SECONDS) || this.isLooking) return;
    if (!this.queue.upcoming && this.goesOn && this.soughtFor !== this.track.id) {
      this.soughtFor = this.track.id; // once
      if (await this.findAlike()) this.tell();
    }
    const { upcoming } = this.queue;
    if (upcoming && this.queue.repeat !== "one" && this.spare.dataset.track !== String(upcoming.id)) load(this.spare, upcoming);
  }

  // Some files are not what their names say: what the browser cannot play is asked for as WAV.
  retry() {
    if (!this.track || this.audio.dataset.track !== String(this.track.id)) return;
    if (this.audio.dataset.form === "file") {
      this.start = this.seconds;
      load(this.audio, this.track, "wav");
      this.resume();
      return;
    }
    this.problem = DEAD;
    this.audio.pause();
    this.nDead += 1;
    if (this.nDead < MOST_DEAD && (this.queue.upcoming ?? this.goesOn)) this.skipping = setTimeout(() => this.next(), PATIENCE_MS);
    this.tell();
  }

  retrySpare() {
    const { upcoming } = this.queue;
    if (this.spare.dataset.form === "file" && upcoming && this.spare.dataset.track === String(upcoming.id)) load(this.spare, upcoming, "wav");
    else if (this.spare.dataset.track) this.forgetSpare();
  }

  forgetSpare() {
    delete this.spare.dataset.track;
    this.spare.removeAttribute("src");
    this.spare.load(); // lets go of the connection
  }

  resume() {
    this.audio.play().catch(() => this.tell());
    this.tell();
  }

  toggle() {
    if (!this.track) return;
    if (this.problem) this.begin(0);
    else if (this.audio.paused) this.resume();
    else this.audio.pause();
  }

  seek(seconds) {
    const within = Math.max(0, Math.min(seconds, this.track.seconds - 0.1));
    this.start = within;
    if (this.audio.readyState) this.audio.currentTime = within;
    this.tell();
  }

  step(direction) {
    if (this.track) this.seek(this.seconds + direction * STEP_SECONDS);
  }

  get volume() {
    return this.audio.muted ? 0 : this.audio.volume;
  }

  setVolume(volume) {
    const within = Number.isFinite(volume) ? Math.max(0, Math.min(1, volume)) : 1;
    for (const audio of [this.audio, this.spare]) [audio.volume, audio.muted] = [within, false];
    remember("volume", within);
  }

  mute() {
    const isMuted = !this.audio.muted;
    for (const audio of [this.audio, this.spare]) audio.muted = isMuted;
    this.tell();
  }

  add(track, isNext) {
    if (!this.track) return this.play(track);
    if (isNext) this.queue.addNext(track);
    else this.queue.add(track);
    return this.tell();
  }

  repeat() {
    this.queue.repeat = REPEATS[(REPEATS.indexOf(this.queue.repeat) + 1) % REPEATS.length];
    remember("repeat", this.queue.repeat);
    this.tell();
  }

  shuffle() {
    this.queue.shuffle(!this.queue.isShuffled);
    this.tell();
  }

  goOn() {
    this.goesOn = !this.goesOn;
    remember("goes-on", this.goesOn ? "yes" : "no");
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

function load(audio, track, form = undefined) {
  const plays = track.media_type && audio.canPlayType(track.media_type);
  audio.dataset.form = form ?? (plays ? "file" : "wav");
  audio.dataset.track = track.id;
  audio.src = api.audio(track.id, audio.dataset.form);
}

export const player = new Player();
