"""Tiny generated replicas of every data set, in the exact layout of MARBLE's files and of the sets' own."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

import synth
from solfa.tasks.giantsteps import split_by_artist
from solfa.tasks.harmonix import SPLITS_OF_ARTIST
from solfa.tasks.magnatagatune import NAMES as MTT_TAGS
from solfa.tasks.mtg_jamendo import GENRES, INSTRUMENTS, MOODS, TOP50
from solfa.tasks.reading import draw
from solfa_free.tasks import FREE_TASKS
from tasks.free_replica import write_free

SAMPLE_RATE = 16000
SPLITS = ("train", "val", "test")
N_EACH = 4  # tracks of a split
KEYS = ("Eb minor", "C major", "F# major", "A minor")
SECTIONS = ("intro", "verse", "chorus", "solo")


@dataclass(frozen=True)
class Replica:
    """A data set in one layout."""

    name: str
    tasks: tuple[str, ...]
    folder: str  # below a root of data
    table: str  # a list of it, below the folder
    write: Callable[[Path, float], None]  # the folder, and the seconds of each recording


def write_audio(path: Path, number: int, seconds: float) -> None:
    """A tone, higher for a higher number."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    hz = synth.pitch_hz(48 + number % 40)
    waveform = synth.tone(hz, seconds, sample_rate=SAMPLE_RATE, n_partials=3)
    soundfile.write(path, waveform, SAMPLE_RATE, format=path.suffix[1:].upper())


def tracks() -> Iterator[tuple[str, int]]:
    """Split and number of every track."""
    for place, split in enumerate(SPLITS):
        for number in range(N_EACH):
            yield split, place * N_EACH + number


def write_marble(
    folder: Path, stem: str, name: str, values: Callable[[int], dict[str, Any]], seconds: float
) -> None:
    """MARBLE's three lists, and the recordings that they name; ``name`` is filled with numbers."""
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split, number in tracks():
        place = name.format(number=number, genre=GTZAN[number % len(GTZAN)])
        write_audio(folder / place, number, seconds)
        info = {
            "audio_path": f"data/{folder.name}/{place}",
            "duration": seconds,
            "sample_rate": SAMPLE_RATE,
            "num_samples": round(seconds * SAMPLE_RATE),
            "bit_depth": 16,
            "channels": 1,
        }
        lines[split].append(json.dumps(info | values(number)))
    for split, texts in lines.items():
        (folder / f"{stem}.{split}.jsonl").write_text("\n".join(texts) + "\n")


def write_table(path: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


GTZAN = ("blues", "classical", "jazz", "rock")


def gtzan_marble(folder: Path, seconds: float) -> None:
    place = "genres/{genre}/{genre}.{number:05d}.wav"
    write_marble(folder, "GTZANGenre", place, lambda n: {"label": GTZAN[n % 4]}, seconds)

    def beats(number: int) -> dict[str, Any]:
        times = [seconds * step / 8 for step in range(8)]
        return {"label": {"beat": times, "downbeat": times[::4], "tempo": 100.0 + number, "meter": "4"}}

    write_marble(folder, "GTZANBeatTracking", place, beats, seconds)


def gtzan_published(folder: Path, seconds: float) -> None:
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split, number in tracks():
        genre = GTZAN[number % 4]
        lists[split].append(f"{genre}/{genre}.{number:05d}.wav")
        write_audio(folder / "genres" / lists[split][-1], number, seconds)
    lists["train"].append("jazz/jazz.00054.wav")  # broken: listed, but not to be used
    for split, name in zip(SPLITS, ("train", "valid", "test"), strict=True):
        (folder / f"{name}_filtered.txt").write_text("\n".join(lists[split]) + "\n")


def _mtt_place(split: str, number: int) -> str:
    letter = {"train": "0", "val": "c", "test": "f"}[split]
    return f"{letter}/artist{number}-album-01-song-{number}-{number + 29}.mp3"


def _mtt_tags(number: int) -> list[str]:
    return [MTT_TAGS[number % 5], MTT_TAGS[5 + number % 3]] if number % 4 else []


def mtt_marble(folder: Path, seconds: float) -> None:
    write_marble(
        folder,
        "MTT",
        "mp3/0/artist{number}-album-01-song-0-29.mp3",
        lambda n: {"label": _mtt_tags(n), "bitrate": 32000},
        seconds,
    )


def mtt_published(folder: Path, seconds: float) -> None:
    rows: list[list[object]] = [["clip_id", *MTT_TAGS, "airy", "mp3_path"]]
    for split, number in tracks():
        place = _mtt_place(split, number)
        write_audio(folder / "mp3" / place, number, seconds)
        tags = _mtt_tags(number)
        rows.append([number, *(int(tag in tags) for tag in MTT_TAGS), 1, place])
    write_table(folder / "annotations_final.csv", rows, delimiter="\t")


def gs_marble(folder: Path, seconds: float) -> None:
    def values(number: int) -> dict[str, Any]:
        return {"ori_uid": f"{number // 2:07d}", "label": KEYS[number // 2 % 4]}

    write_marble(folder, "GS", "giantsteps_clips/wav/{number:07d}-0.wav", values, seconds)


def gs_published(folder: Path, seconds: float) -> None:
    training = folder / "giantsteps-mtg-key-dataset"
    names = [f"Artist {number}" for number in range(40)]
    splits = split_by_artist([name] for name in names)
    chosen = [next(n for n in names if splits[n] == split) for split in ("train", "valid")]
    metadata: list[list[object]] = [["ID", "ARTIST", "SONG TITLE"]]
    annotations: list[list[object]] = [["ID", "MANUAL KEY", "C"]]
    for number in range(8):
        metadata.append([number, chosen[number % 2], f"Song {number}"])
        annotations.append([number, ("D# minor", "C major")[number // 2 % 2], 2])
        write_audio(training / "audio" / f"{number}.LOFI.mp3", number, seconds)
    annotations += [[8, "C minor / F# minor", 2], [9, "-", 0]]  # two keys, no key: not to be used
    write_table(training / "annotations" / "annotations.txt", annotations, delimiter="\t")
    write_table(training / "annotations" / "beatport_metadata.txt", metadata, delimiter="\t")
    testing = folder / "giantsteps-key-dataset"
    (testing / "annotations" / "key").mkdir(parents=True)
    for number in range(100, 104):
        (testing / "annotations" / "key" / f"{number}.LOFI.key").write_text(KEYS[number % 4])
        write_audio(testing / "audio" / f"{number}.LOFI.mp3", number, seconds)


def emo_marble(folder: Path, seconds: float) -> None:
    write_marble(
        folder,
        "EMO",
        "emomusic/wav/{number:04d}.wav",
        lambda n: {"label": [n / 6 - 1, 1 - n / 6]},
        seconds,
    )


def emo_published(folder: Path, seconds: float) -> None:
    songs: list[list[object]] = [["song_id", "file_name", "Artist", "Song title", "Mediaeval 2013 set"]]
    ratings: list[list[object]] = [["song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence"]]
    for _, number in tracks():
        part = "evaluation" if number % 3 == 0 else "development"
        songs.append([number, f"{number}.mp3", f"\tSinger {chr(97 + number)}", f"Song {number}", part])
        ratings.append([number, 1 + number / 2, 1.0, 8 - number / 2, 1.0])
        write_audio(folder / "clips_45seconds" / f"{number}.mp3", number, seconds)
    write_table(folder / "annotations" / "songs_info.csv", songs)
    write_table(folder / "annotations" / "static_annotations.csv", ratings)


def nsynth(folder: Path, seconds: float) -> None:
    families = ("bass", "guitar", "synth_lead", "vocal")
    for split, part in zip(SPLITS, ("train", "valid", "test"), strict=True):
        home, notes = folder / f"nsynth-{part}", {}
        for number in range(N_EACH):
            instrument = f"{families[number]}_acoustic_{split}"
            note = f"{instrument}-{60 + number:03d}-100"
            notes[note] = {
                "note_str": note,
                "pitch": 60 + number,
                "velocity": 100,
                "instrument_str": instrument,
                "instrument_family": number,
                "instrument_family_str": families[number],
                "sample_rate": SAMPLE_RATE,
            }
            write_audio(home / "audio" / f"{note}.wav", number, seconds)
        (home / "examples.json").write_text(json.dumps(notes))


def vocalset(folder: Path, seconds: float) -> None:
    number = 0
    for singer, home in (("f1", "female1"), ("m10", "male10"), ("f9", "female9"), ("f2", "female2")):
        for technique in ("belt", "vocal_fry", "slow_forte"):
            for vowel in "aeio":
                name = f"{singer}_scales_{technique}_c_{vowel}.wav"
                write_audio(folder / "FULL" / home / "scales" / technique / name, number, seconds)
                number += 1


def _mtg(number: int, tags: tuple[str, ...]) -> list[str]:
    return [tags[number % 4], tags[-1]] if number % 2 else [tags[number % 4]]


MTG = {"Genre": GENRES, "Instrument": INSTRUMENTS, "Mood": MOODS, "Top50": TOP50}
MTG_TASKS = ("mtg_genre", "mtg_instrument", "mtg_mood", "mtg_top50")
MTG_PUBLISHED = {"genre": GENRES, "instrument": INSTRUMENTS, "moodtheme": MOODS, "top50tags": TOP50}


def mtg_marble(folder: Path, seconds: float) -> None:
    for name, tags in MTG.items():
        place = "audio-low/{number:02d}/{number}.low.mp3"
        write_marble(folder, f"MTG{name}", place, lambda n, tags=tags: {"label": _mtg(n, tags)}, seconds)


def mtg_published(folder: Path, seconds: float) -> None:
    home = folder / "data" / "splits" / "split-0"
    for name, tags in MTG_PUBLISHED.items():
        for split, part in zip(SPLITS, ("train", "validation", "test"), strict=True):
            rows: list[list[object]] = [["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]]
            for number in [n for s, n in tracks() if s == split]:
                row = [
                    f"track_{number:07d}",
                    f"artist_{number // 2:06d}",
                    "album_1",
                    f"48/{number}.mp3",
                    seconds,
                ]
                rows.append([*row, *_mtg(number, tags)])
                write_audio(folder / "audio-low" / "48" / f"{number}.low.mp3", number, seconds)
            write_table(home / f"autotagging_{name}-{part}.tsv", rows, delimiter="\t")


def musdb18(folder: Path, seconds: float) -> None:
    names = {"train": ("A - One", "Leaf - Summerghost", "B - Two"), "test": ("C - Three", "D - Four")}
    for part, titles in names.items():
        for number, title in enumerate(titles):
            for step, stem in enumerate(("mixture", "vocals", "drums", "bass", "other")):
                write_audio(folder / part / title / f"{stem}.wav", 5 * number + step, seconds)


def chords1217(folder: Path, seconds: float) -> None:
    names = ("N", "E:maj", "F#:min7/b3", "B:sus4", "X", "Bb")

    def values(number: int) -> dict[str, Any]:
        step = seconds / len(names)
        return {
            "label": [
                {"start_time": step * n, "end_time": step * (n + 1), "chord_str": names[(n + number) % 6]}
                for n in range(len(names))
            ]
        }

    write_marble(folder, "Chords1217", "audio/TR{number:04d}.mp3", values, seconds)


def hooktheory(folder: Path, seconds: float) -> None:
    place = "hooktheory_clips/clip{number}.mp3"
    extra = {"segment_start": 1.0, "segment_end": 1.0 + seconds}
    sections = [*([name] for name in SECTIONS), ["verse", "pre-chorus"]]

    def key(number: int) -> dict[str, Any]:
        return {"ori_uid": f"video{number // 2}", "label": KEYS[number % 4]}

    def section(number: int) -> dict[str, Any]:
        return extra | {"ori_uid": f"video{number // 2}", "label": sections[number % 5]}

    write_marble(folder, "HookTheoryKey", place, key, seconds)
    write_marble(folder, "HookTheoryStructure", place, section, seconds)


def harmonix(folder: Path, seconds: float) -> None:
    rows: list[list[object]] = [["File", "Title", "Artist", "Release", "Duration"]]
    (folder / "dataset" / "segments").mkdir(parents=True)
    names = [f"Artist {number}" for number in range(100)]
    by_draw = {SPLITS_OF_ARTIST[draw(name.lower(), 10)]: name for name in names}
    for number in range(N_EACH * 3):
        name, artist = f"{number:04d}_song", by_draw[("train", "valid", "test")[number % 3]]
        rows.append([name, f"Song, {number}", f"{artist} feat. Guest {number}", "Album", seconds])
        step = seconds / 5
        labels = ("intro", "verse1", "prechorus", "gtrsolo", "guitar", "end")
        text = "".join(f"{step * n} {label}\n" for n, label in enumerate(labels))
        (folder / "dataset" / "segments" / f"{name}.txt").write_text(text)
        write_audio(folder / "audio" / f"{name}.wav", number, seconds)
    write_table(folder / "dataset" / "metadata.csv", rows)


GTZAN_TASKS = ("gtzan_genre", "gtzan_beats")
NSYNTH_TASKS = ("nsynth_instrument", "nsynth_pitch")
VOCALSET_TASKS = ("vocalset_technique", "vocalset_singer")
HOOKTHEORY_TASKS = ("hooktheory_key", "hooktheory_structure")
REPLICAS = (
    Replica("gtzan, marble", GTZAN_TASKS, "GTZAN", "GTZAN*.val.jsonl", gtzan_marble),
    Replica("gtzan, published", ("gtzan_genre",), "GTZAN", "valid_filtered.txt", gtzan_published),
    Replica("mtt, marble", ("magnatagatune",), "MTT", "MTT.val.jsonl", mtt_marble),
    Replica("mtt, published", ("magnatagatune",), "MTT", "annotations_final.csv", mtt_published),
    Replica("giantsteps, marble", ("giantsteps_key",), "GS", "GS.val.jsonl", gs_marble),
    Replica("giantsteps, published", ("giantsteps_key",), "GS", "*mtg*/*/annotations.txt", gs_published),
    Replica("emomusic, marble", ("emomusic",), "EMO", "EMO.val.jsonl", emo_marble),
    Replica("emomusic, published", ("emomusic",), "EMO", "annotations/songs_info.csv", emo_published),
    Replica("nsynth", NSYNTH_TASKS, "NSynth", "nsynth-valid/examples.json", nsynth),
    Replica("vocalset", VOCALSET_TASKS, "VocalSet", "", vocalset),
    Replica("mtg, marble", MTG_TASKS, "MTG", "MTG*.val.jsonl", mtg_marble),
    Replica("mtg, published", MTG_TASKS, "MTG", "data/splits/split-0/*-validation.tsv", mtg_published),
    Replica("musdb18", ("musdb18",), "MUSDB18", "", musdb18),
    Replica("chords1217", ("chords1217",), "Chords1217", "Chords1217.val.jsonl", chords1217),
    Replica("hooktheory", HOOKTHEORY_TASKS, "HookTheory", "HookTheory*.val.jsonl", hooktheory),
    Replica(
        "free", tuple(task.name for task in FREE_TASKS), "free", "pop909-fluidr3/labels.jsonl", write_free
    ),
    Replica("harmonix", ("harmonix_structure",), "Harmonix", "dataset/metadata.csv", harmonix),
)


def write_replica(replica: Replica, root: Path, seconds: float = 0.3) -> Path:
    """Write ``replica`` below ``root``; returns its folder."""
    folder = root / replica.folder
    folder.mkdir(parents=True)
    replica.write(folder, seconds)
    return folder
