// Media keys, headphones and lock screens: what the machine shows of the player, and may ask of it.

import { byline } from "./dom.js";
import { player } from "./player.js";

export function followMedia() {
  const { mediaSession } = navigator;
  if (!mediaSession) return;
  const actions = {
    play: () => player.resume(),
    pause: () => player.audio.pause(),
    previoustrack: () => player.previous(),
    nexttrack: () => player.next(),
    seekbackward: () => player.step(-1),
    seekforward: () => player.step(1),
    seekto: ({ seekTime }) => player.seek(seekTime),
    stop: () => player.audio.pause(),
  };
  for (const [action, act] of Object.entries(actions)) {
    try {
      mediaSession.setActionHandler(action, (details) => player.track && act(details));
    } catch {
      // This browser knows fewer of them.
    }
  }
  let shown = null;
  player.addEventListener("change", () => {
    const { track } = player;
    if (!track) return;
    if (shown !== track.id) {
      shown = track.id;
      mediaSession.metadata = new MediaMetadata({ title: track.title, artist: byline(track), album: track.tags.album ?? "" });
    }
    mediaSession.playbackState = player.isPlaying ? "playing" : "paused";
    const { duration } = player.audio;
    if (Number.isFinite(duration) && duration > 0) {
      mediaSession.setPositionState?.({ duration, position: Math.min(player.seconds, duration), playbackRate: 1 });
    }
  });
}
