// What is played one after the other: its order, shuffled or not, and what repeats.

export const REPEATS = ["off", "all", "one"];

export class Queue {
  constructor() {
    this.tracks = []; // in the order in which they are played
    this.at = -1;
    this.repeat = "off";
    this.ordered = null; // the order before it was shuffled
  }

  get current() {
    return this.tracks[this.at] ?? null;
  }

  get isShuffled() {
    return this.ordered !== null;
  }

  // Tracks in place of all others, from one of them on.
  fill(tracks, at) {
    const { isShuffled } = this;
    this.tracks = [...tracks];
    this.at = at;
    this.ordered = null;
    if (isShuffled) this.shuffle(true);
  }

  // The track that follows by itself; null at the end.
  get upcoming() {
    if (this.repeat === "one") return this.current;
    return this.tracks[this.at + 1] ?? (this.repeat === "all" ? (this.tracks[0] ?? null) : null);
  }

  // One on or back; whether there is one.
  move(direction) {
    const n = this.tracks.length;
    const to = this.repeat === "all" && n ? (this.at + direction + n) % n : this.at + direction;
    if (to < 0 || to >= n) return false;
    this.at = to;
    return true;
  }

  add(track) {
    this.tracks.push(track);
    this.ordered?.push(track);
  }

  addNext(track) {
    this.tracks.splice(this.at + 1, 0, track);
    this.ordered?.splice(this.ordered.indexOf(this.current) + 1, 0, track);
  }

  remove(at) {
    const [track] = this.tracks.splice(at, 1);
    if (at < this.at) this.at -= 1;
    this.ordered?.splice(this.ordered.indexOf(track), 1);
  }

  // What is heard stays, and all others go.
  clear() {
    this.tracks = this.current ? [this.current] : [];
    this.at = this.tracks.length - 1;
    this.ordered &&= [...this.tracks];
  }

  // What is heard comes first then; and back again all stand as they stood.
  shuffle(wanted) {
    if (wanted === this.isShuffled) return;
    const { current } = this;
    if (wanted) {
      const others = this.tracks.filter((_, n) => n !== this.at);
      this.ordered = this.tracks;
      this.tracks = current ? [current, ...mixed(others)] : mixed(others);
      this.at = current ? 0 : -1;
    } else {
      this.tracks = this.ordered;
      this.at = this.tracks.indexOf(current);
      this.ordered = null;
    }
  }
}

// Fisher and Yates: every order is as likely as any other.
function mixed(tracks) {
  const all = [...tracks];
  for (let n = all.length - 1; n > 0; n -= 1) {
    const other = Math.floor(Math.random() * (n + 1));
    [all[n], all[other]] = [all[other], all[n]];
  }
  return all;
}
