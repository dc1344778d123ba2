"""Excerpts in which somebody sings or speaks: the free music that is there has hardly a voice.

    pip install pyworld-prebuilt
    python tools/sung.py --speech PROMPTS --excerpts heard/excerpts.jsonl --n 600 --out sung

PROMPTS is a folder of recorded speech; Debian's asterisk-core-sounds-LANGUAGE-g722 (CC-BY-SA-3.0, CC-BY-3.0)
have five speakers. Two thirds of the phrases are turned into song: the vocoder WORLD parts speech into pitch
and timbre, vowels are stretched, and the pitch becomes a melody with vibrato; some are doubled to a choir. A
phrase is mixed into an excerpt that has no voice, 8 dB below it to 6 dB above. Facts are those of the excerpt
but what a voice changes, and that there is a voice.

Writes OUT/audio, and OUT/excerpts.jsonl: a manifest as of 'solfa data hear'.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyworld  # type: ignore[import-not-found]  # asked for above, by this tool alone
import soxr
from jaxtyping import Float

from solfa.data.audio import read_audio, write_audio
from solfa.data.manifest import Track, read_manifest, write_manifest
from solfa.data.prepare import prepare_files
from solfa.frames import seconds_to_samples

RATE, SPEECH_RATE, FRAME_MS = 24_000, 16_000, 5.0
PHRASE_SECONDS, EXCERPT_SECONDS = 4.5, 10.0  # of speech that becomes a phrase
SUNG_SHARE, CHOIR_SHARE, N_CHOIR = 0.67, 0.2, 4  # of phrases; of those that are sung
SCALES = ((0, 2, 4, 7, 9, 12), (0, 3, 5, 7, 10, 12), (0, 2, 3, 5, 7, 8, 12), (0, 2, 4, 5, 7, 9, 11, 12))
NOTE_SECONDS, VIBRATO_HZ, VIBRATO_CENTS = (0.25, 0.9), 5.5, 30.0
STRETCH, TRANSPOSE, FORMANTS = (1.4, 2.0), (-4, 8), (0.88, 1.15)  # at most and at least
LEVELS_DB = (-8.0, 6.0)  # of the voice, beside the music
KEPT = ("genre", "instrument", "tempo", "mode", "beat", "drums", "without")

Wave = Float[np.ndarray, " sample"]


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder of speech: .wav, .flac or .g722")
    parser.add_argument("--excerpts", type=Path, nargs="+", required=True, help="with facts")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--phrases", type=int, default=150, help="different ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    prompts = sorted(p for p in given.speech.rglob("*") if p.suffix in (".wav", ".flac", ".g722"))
    music = [t for path in given.excerpts for t in read_manifest(path) if t.tags.get("voice") == "no voice"]
    if not prompts or not music:
        raise SystemExit("There is no speech in --speech, or no excerpt without a voice in --excerpts.")
    phrases = [phrase(prompts, rng) for _ in range(given.phrases)]
    folder = given.out / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    tags: dict[str, dict[str, str]] = {}
    for number in range(given.n):
        track = music[int(rng.integers(len(music)))]
        sound, is_choir = phrases[int(rng.integers(len(phrases)))]
        path = folder / f"{number:05d}.flac"
        write_audio(path, mixed(excerpt(track), sound, rng), RATE)
        tags[path.name] = facts(track, is_choir)
    done = prepare_files(sorted(folder.glob("*.flac")))
    write_manifest([replace(t, tags=tags[t.path.name]) for t in done.tracks], given.out / "excerpts.jsonl")
    sys.stdout.write(f"{len(done.tracks)} excerpts: {given.out / 'excerpts.jsonl'}\n")


def phrase(prompts: Sequence[Path], rng: np.random.Generator) -> tuple[Wave, bool]:
    """Speech, or song made of it, at ``RATE``; and whether a choir sings."""
    first = int(rng.integers(len(prompts)))
    folder = prompts[first].parent
    near = [p for p in prompts[first : first + 40] if p.parent == folder]
    parts: list[Wave] = []
    for path in near:
        parts.append(speech(path))
        if sum(map(len, parts)) > PHRASE_SECONDS * SPEECH_RATE:
            break
    spoken = np.concatenate(parts)[: int(1.5 * PHRASE_SECONDS * SPEECH_RATE)]
    if rng.random() >= SUNG_SHARE:
        return soxr.resample(spoken, SPEECH_RATE, RATE).astype(np.float32), False
    is_choir = rng.random() < CHOIR_SHARE
    melody_seed = int(rng.integers(2**31))
    voices = [sung(spoken, melody_seed, rng, apart=is_choir) for _ in range(N_CHOIR if is_choir else 1)]
    together = np.zeros(max(map(len, voices)))
    for voice in voices:
        together[: len(voice)] += voice
    return soxr.resample(together, SPEECH_RATE, RATE).astype(np.float32), is_choir


def sung(spoken: Wave, melody_seed: int, rng: np.random.Generator, *, apart: bool) -> Wave:
    """Speech at the pitches of a melody, slower; voices of a choir a little apart in pitch and timbre."""
    samples = np.ascontiguousarray(spoken, np.float64)
    pitch, times = pyworld.dio(samples, SPEECH_RATE, frame_period=FRAME_MS)
    timbre = pyworld.cheaptrick(samples, pitch, times, SPEECH_RATE)
    noise = pyworld.d4c(samples, pitch, times, SPEECH_RATE)
    tune = np.random.default_rng(melody_seed)  # the same for all voices of a choir
    stretch = tune.uniform(*STRETCH)
    frames = np.minimum((np.arange(int(len(pitch) * stretch)) / stretch).astype(int), len(pitch) - 1)
    shift = 12 * np.log2(rng.uniform(*FORMANTS) if apart else tune.uniform(*FORMANTS))
    bins = np.arange(timbre.shape[1])
    moved = np.minimum((bins / 2 ** (shift / 12)).astype(int), len(bins) - 1)
    usual = np.median(pitch[pitch > 0]) if (pitch > 0).any() else 150.0
    wanted = usual * 2 ** (melody(len(frames), tune) / 12)
    cents = 2 ** (rng.normal(0, 12 if apart else 3) / 1200)
    new_pitch = np.where(pitch[frames] > 0, wanted * cents, 0.0)
    out = pyworld.synthesize(
        new_pitch, np.ascontiguousarray(timbre[frames][:, moved]), np.ascontiguousarray(noise[frames]),
        SPEECH_RATE, frame_period=FRAME_MS,
    )  # fmt: skip
    return np.asarray(out)


def melody(n_frames: int, rng: np.random.Generator) -> Float[np.ndarray, " frame"]:
    """Semitones of each frame: steps in a scale, glides between notes, and vibrato."""
    scale = SCALES[int(rng.integers(len(SCALES)))]
    base, place = int(rng.integers(*TRANSPOSE)), int(rng.integers(len(scale)))
    notes: list[float] = []
    while len(notes) < n_frames:
        place = int(np.clip(place + rng.integers(-2, 3), 0, len(scale) - 1))
        notes += [base + scale[place]] * int(1000 * rng.uniform(*NOTE_SECONDS) / FRAME_MS)
    glided = np.convolve(np.pad(notes[:n_frames], 6, mode="edge"), np.ones(13) / 13, "valid")
    seconds = np.arange(n_frames) * FRAME_MS / 1000
    return glided + VIBRATO_CENTS / 100 * np.sin(2 * np.pi * VIBRATO_HZ * seconds)


def speech(path: Path) -> Wave:
    """A prompt, at ``SPEECH_RATE``; ffmpeg reads G.722, whose files do not say what they are."""
    if path.suffix != ".g722":
        return read_audio(path, sample_rate=SPEECH_RATE)
    command = f"ffmpeg -v error -f g722 -i - -f f32le -ac 1 -ar {SPEECH_RATE} -".split()
    done = subprocess.run(command, check=True, capture_output=True, input=path.read_bytes())
    return np.frombuffer(done.stdout, np.float32)


def excerpt(track: Track) -> Wave:
    """The music."""
    return read_audio(
        track.path, sample_rate=RATE, start=seconds_to_samples(track.start_seconds, RATE),
        n_samples=seconds_to_samples(track.seconds, RATE),
    )  # fmt: skip


def mixed(music: Wave, sound: Wave, rng: np.random.Generator) -> Wave:
    """Music with a voice in most of it; where the voice is short it comes again."""
    times = -(-int(0.7 * len(music)) // len(sound))
    long = np.tile(sound, max(1, times))[: len(music)]
    voice = np.zeros_like(music)
    start = int(rng.integers(len(music) - len(long) + 1))
    voice[start : start + len(long)] = long
    level = 10 ** (rng.uniform(*LEVELS_DB) / 20)
    voice *= level * max(rms(music), 1e-3) / max(rms(long), 1e-6)
    both = music + voice
    return (both / max(1.0, float(np.abs(both).max()) / 0.99)).astype(np.float32)


def rms(wave: Wave) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))


def facts(track: Track, is_choir: bool) -> dict[str, str]:
    """What is known of the music and stays so, and the voice."""
    kept = {name: value for name, value in track.tags.items() if name in KEPT}
    found = kept | {"voice": "voice", "made": "voice mixed in", "licence": track.tags.get("licence", "")}
    if is_choir:
        found["instrument"] = "; ".join(filter(None, (kept.get("instrument"), "choir")))
        without = [w.strip() for w in kept.get("without", "").split(";") if w.strip() not in ("choir", "")]
        found["without"] = "; ".join(without)
    return {name: value for name, value in found.items() if value}


if __name__ == "__main__":
    main()
