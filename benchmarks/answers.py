"""Fifteen queries on held-out recordings, judged by a rule: as is, centred, and by what stands out.

    solfa data free-music --out more --packages naev-data,openclonk-data,ardentryst,lugaru-data,freecol
    solfa index music/heldout.jsonl more/heldout.jsonl --library heldout.sqlite
    python benchmarks/answers.py heldout.sqlite --out sheet.md

The rule of each query stands below, in words and as code. It sees the name of the file, the title, artist and
genre, the folder, the loudness and the tempo of a track, and no vector.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.data.audio import probe_audio, read_audio

N_JUDGED = 3
HEARD_HZ = 22_050  # at which loudness and tempo are measured
EXCERPT_SECONDS, SLOWEST, FASTEST = 60.0, 60.0, 180.0


@dataclass(frozen=True)
class Facts:
    """What a rule may know of a track."""

    name: str  # file and title, in small letters
    folder: str
    tags: str  # artist and genre, in small letters
    is_loud: bool  # at least the median of the library
    tempo_bpm: float

    def has(self, words: str) -> bool:
        """Whether the name has one of some beginnings of words."""
        return bool(re.search(rf"(?<![a-z])({words})", self.name))

    def is_of(self, folders: str) -> bool:
        """Whether it is of one of some packages."""
        return bool(re.match(folders, self.folder))

    def states(self, words: str) -> bool:
        """Whether artist or genre have one of some beginnings of words."""
        return bool(re.search(rf"(?<![a-z])({words})", self.tags))


def is_electronic(facts: Facts) -> bool:
    """By makers whose other music is, or by genre."""
    return facts.is_of("hr3|pushover") or facts.states("askyel|zeropage|electronic|house")


def is_orchestral(facts: Facts) -> bool:
    """By makers whose other music is, by genre, or by name."""
    return (
        facts.is_of("wesnoth|hr-savino")
        or facts.states("orchestral|matthew pablo")
        or facts.has(".*orchestra")
    )


WATER = "ocean|caribbean|rlyeh|offshore|island|.*sailors|tailwind|.*tides"
ELVES = "elf|elvish|silvan"
DARK = (
    "cave|graveyard|hell|underground|the_deep|deep|.*shadow|suspense|dungeon|knolls|rlyeh|dark|tension|"
    "imminent|void"
)
TENSE = (
    "suspense|.*shadow|deep|vengeful|hell|graveyard|laboratory|underground|dungeon|casual|tension|"
    "intrigue|imminent"
)
# Query, the rule in words, the rule.
RULES: tuple[tuple[str, str, Callable[[Facts], bool]], ...] = (
    (
        "epic battle orchestra",
        "loud, and of Wesnoth or named orchestra",
        lambda f: f.is_loud and (f.is_of("wesnoth") or f.has(".*orchestra")),
    ),
    (
        "sad slow strings",
        "of Wesnoth, and soft or named sad, dead, Nunc, Revelation, Transience, love",
        lambda f: f.is_of("wesnoth") and (not f.is_loud or f.has("sad|dead|nunc|revelation|transience|love")),
    ),
    (
        "electronic music with a beat",
        "of hr3, Pushover, Askyel or Zeropage, or of the genre electronic or house",
        is_electronic,
    ),
    (
        "calm ambient",
        "soft and of hr3, or named elf, Elvish, Silvan, Transience, ocean, ambient, dream, peace",
        lambda f: (not f.is_loud and f.is_of("hr3")) or f.has(f"{ELVES}|transience|ocean|ambi|.*dream|peace"),
    ),
    (
        "dark scary cave",
        "named cave, graveyard, hell, underground, deep, shadow, suspense, dungeon, knolls, R'lyeh, dark, "
        "tension, imminent, void",
        lambda f: f.has(DARK),
    ),
    ("quiet and slow", "soft, below 110 beats a minute", lambda f: not f.is_loud and f.tempo_bpm < 110),
    ("loud and fast", "loud, from 110 beats a minute on", lambda f: f.is_loud and f.tempo_bpm >= 110),
    (
        "medieval folk dance",
        "named minstrels, elf, Elvish, wanderer, Northerners, Caribbean, or of freecol",
        lambda f: f.has(f"traveling|minstrel|{ELVES}|wanderer|northerners|caribbean") or f.is_of("freecol"),
    ),
    ("orchestra", "of Wesnoth, Will Savino or Matthew Pablo, named so, or of that genre", is_orchestral),
    ("synthesizer", "as electronic music with a beat", is_electronic),
    (
        "ocean",
        "named ocean, Caribbean, R'lyeh, offshore, island, sailors, tailwind, tides",
        lambda f: f.has(WATER),
    ),
    ("calm piano", "soft", lambda f: not f.is_loud),
    (
        "suspense",
        "named suspense, shadow, deep, vengeful, hell, graveyard, laboratory, underground, dungeon, casual, "
        "tension, intrigue, imminent",
        lambda f: f.has(TENSE),
    ),
    (
        "heroic march with brass",
        "of Wesnoth, loud, from 80 to 140 beats a minute",
        lambda f: f.is_of("wesnoth") and f.is_loud and 80 <= f.tempo_bpm <= 140,
    ),
    (
        "peaceful forest with flute",
        "soft and of Wesnoth, or named elf, Elvish, Silvan, Laurelmor, jungle, agriculture, grass, peace",
        lambda f: (
            (f.is_of("wesnoth") and not f.is_loud)
            or f.has(f"{ELVES}|siege_of_laur|hr3-jungle|agriculture|music1grass|peace")
        ),
    ),
)
ABSENT = (  # topics that no track of the library has
    *("christmas", "rap with a male voice", "reggae", "gospel choir", "country music with banjo", "salsa"),
    *("barbershop quartet", "a tax return", "quarterly earnings report", "the recipe of a cake"),
)


def facts_of(
    names: Sequence[str], tags: Sequence[Mapping[str, str]], heard: Sequence[tuple[float, float]]
) -> list[Facts]:
    """Facts of tracks.

    Args:
        names: ways to the files from the folder of the library.
        tags: of the tracks.
        heard: level in dB and tempo of each.
    """
    median = np.median([level for level, _ in heard])
    return [
        Facts(
            name=f"{Path(name).stem} {known.get('title', '')}".lower(),
            folder=_folder(name),
            tags=f"{known.get('artist', '')} {known.get('genre', '')}".lower(),
            is_loud=level >= median,
            tempo_bpm=tempo,
        )
        for name, known, (level, tempo) in zip(names, tags, heard, strict=True)
    ]


def _folder(name: str) -> str:
    """The package, or for HyperRogue, where several people made the music, the beginning of the file."""
    return Path(name).stem if name.startswith("hyperrogue") else name


def hear(path: Path) -> tuple[float, float]:
    """Level in dB and tempo of the middle minute of a file.

    The tempo is the lag at which the growth of the spectrum resembles itself most, between 60 and 180.
    """
    rate = HEARD_HZ
    n_wanted = round(EXCERPT_SECONDS * rate)
    start = max(0, (round(probe_audio(path).seconds * rate) - n_wanted) // 2)
    waveform = read_audio(path, sample_rate=rate, start=start, n_samples=n_wanted)
    level = 20 * np.log10(np.sqrt(np.mean(waveform**2)) + 1e-9)
    hop = rate // 100
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 4 * hop)[::hop]
    spectra = np.log1p(100 * np.abs(np.fft.rfft(frames * np.hanning(4 * hop).astype(np.float32))[:, :400]))
    growth = np.maximum(np.diff(spectra, axis=0), 0).sum(1)
    growth = growth - growth.mean()
    spectrum = np.fft.rfft(growth, 2 * len(growth))
    alike = np.fft.irfft(np.abs(spectrum) ** 2)
    lags = np.arange(round(60 * 100 / FASTEST), round(60 * 100 / SLOWEST) + 1)
    beats = 60 * 100 / lags
    preference = np.exp(-0.5 * (np.log2(beats / 110) / 0.8) ** 2)  # for tempos that people tap
    return float(level), float(beats[np.argmax(alike[lags] * preference)])


def _below(path: Path, roots: Sequence[Path]) -> str:
    root = max((root for root in roots if path.is_relative_to(root)), key=lambda root: len(root.parts))
    return str(path.relative_to(root))


def judged(
    rankings: dict[str, Callable[[str], Sequence[int]]], facts: Sequence[Facts]
) -> list[tuple[str, str, int, dict[str, list[tuple[int, bool]]]]]:
    """For each query its rule, how many tracks fit it, and the first tracks of each ranking, judged."""
    rows = []
    for query, rule, fits in RULES:
        n_fit = sum(fits(one) for one in facts)
        answers = {
            name: [(row, fits(facts[row])) for row in ranking(query)[:N_JUDGED]]
            for name, ranking in rankings.items()
        }
        rows.append((query, rule, n_fit, answers))
    return rows


def sheet(
    rows: Sequence[tuple[str, str, int, dict[str, list[tuple[int, bool]]]]],
    names: Sequence[str],
    n_tracks: int,
) -> str:
    """The judge's sheet, as a table of Markdown."""
    rankings = list(rows[0][3])
    lines = [
        f"| query | fits if | tracks | by chance | {' | '.join(rankings)} |",
        f"|---|---|---:|---:|{'---|' * len(rankings)}",
    ]
    sums = dict.fromkeys(rankings, 0)
    for query, rule, n_fit, answers in rows:
        cells = []
        for name in rankings:
            sums[name] += sum(fits for _, fits in answers[name])
            cells.append(
                ", ".join(
                    f"{'**' if fits else ''}{names[row]}{'**' if fits else ''}" for row, fits in answers[name]
                )
            )
        lines.append(
            f"| {query} | {rule} | {n_fit} | {N_JUDGED * n_fit / n_tracks:.1f} | {' | '.join(cells)} |"
        )
    chance = sum(N_JUDGED * n_fit / n_tracks for _, _, n_fit, _ in rows)
    totals = " | ".join(f"{sums[name]} of {N_JUDGED * len(rows)}" for name in rankings)
    return "\n".join([*lines, f"| | | | {chance:.1f} | {totals} |"]) + "\n"


def main() -> None:
    """Judge a library, write the sheet, and print what is said of each answer."""
    from solfa.retrieval import Answer, Searcher

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with Searcher(arguments.library) as searcher:
        tracks, roots = searcher.tracks(), searcher.roots()
        ids = {track.id: row for row, track in enumerate(tracks)}
        names = [_below(track.path, roots) for track in tracks]
        heard = [hear(track.path) for track in tracks]
        facts = facts_of(names, [track.tags for track in tracks], heard)
        vectors = searcher.vectors([track.id for track in tracks])
        mulan = searcher.mulan()
        if mulan is None:
            raise SystemExit("The model of this library knows no words.")

        def by_cosine(centre: np.ndarray) -> Callable[[str], list[int]]:
            units = vectors - centre
            units = units / np.linalg.norm(units, axis=1, keepdims=True)
            return lambda query: np.argsort(-(units @ mulan.embed_text([query])[0].detach().numpy())).tolist()

        def with_names(answer: Answer) -> list[int]:
            found = [*answer.named, *(match.track for match in answer.matches)]
            return list(dict.fromkeys(ids[track.id] for track in found))

        rankings: dict[str, Callable[[str], Sequence[int]]] = {
            "as is": by_cosine(np.zeros(1)),
            "centred": by_cosine(vectors.mean(0)),
            "standing out": lambda query: [ids[match.track.id] for match in searcher.search(query, N_JUDGED)],
            "names first": lambda query: with_names(searcher.answer(query, N_JUDGED)),
        }
        rows = judged(rankings, facts)
        arguments.out.write_text(sheet(rows, [Path(name).stem for name in names], len(tracks)))
        for query in (*(query for query, *_ in RULES), *ABSENT):
            answer = searcher.answer(query)
            best = max(match.stands_out or 0 for match in answer.matches)
            print(f"{query}: {best:.2f} {answer.matches[0].fit} {'; '.join(answer.notices)}")


if __name__ == "__main__":
    main()
