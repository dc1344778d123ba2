"""Fifteen queries on held-out recordings, judged by a rule: as is, centred, and by what stands out.

    solfa index heldout.jsonl --library heldout.sqlite
    python benchmarks/answers.py heldout.sqlite --out sheet.md

The rule of each query stands below, in words and as code. It sees the name of the file, the title, the
folder, the loudness and the tempo of a track, and no vector.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

N_JUDGED = 3
EXCERPT_SECONDS, SLOWEST, FASTEST = 60.0, 60.0, 180.0


@dataclass(frozen=True)
class Facts:
    """What a rule may know of a track."""

    name: str  # file and title, in small letters
    folder: str
    is_loud: bool  # at least the median of the library
    tempo_bpm: float

    def has(self, words: str) -> bool:
        """Whether the name has one of some beginnings of words."""
        return bool(re.search(rf"(?<![a-z])({words})", self.name))

    def is_of(self, folders: str) -> bool:
        """Whether it is of one of some packages."""
        return bool(re.match(folders, self.folder))


ORCHESTRAL, ELECTRONIC = "wesnoth|hr-savino", "hr3|pushover"
# Query, the rule in words, the rule.
RULES: tuple[tuple[str, str, Callable[[Facts], bool]], ...] = (
    ("epic battle orchestra", "of Wesnoth, and loud", lambda f: f.is_of("wesnoth") and f.is_loud),
    (
        "sad slow strings",
        "of Wesnoth, and soft or named sad, dead, Nunc, Revelation, Transience, love",
        lambda f: f.is_of("wesnoth") and (not f.is_loud or f.has("sad|dead|nunc|revelation|transience|love")),
    ),
    ("electronic music with a beat", "of hr3 or Pushover", lambda f: f.is_of(ELECTRONIC)),
    (
        "calm ambient",
        "soft and of hr3, or named elf, Elvish, Silvan, Transience, ocean",
        lambda f: (not f.is_loud and f.is_of("hr3")) or f.has("elf|elvish|silvan|transience|ocean"),
    ),
    (
        "dark scary cave",
        "named cave, graveyard, hell, underground, deep, shadow, suspense, dungeon, knolls, R'lyeh",
        lambda f: f.has(
            "cave|graveyard|hell|underground|the_deep|deep|.*shadow|suspense|dungeon|knolls|rlyeh"
        ),
    ),
    ("quiet and slow", "soft, below 110 beats a minute", lambda f: not f.is_loud and f.tempo_bpm < 110),
    ("loud and fast", "loud, from 110 beats a minute on", lambda f: f.is_loud and f.tempo_bpm >= 110),
    (
        "medieval folk dance",
        "named minstrels, elf, Elvish, wanderer, Northerners, Caribbean",
        lambda f: f.has("traveling|minstrel|elf|elvish|wanderer|northerners|caribbean"),
    ),
    ("orchestra", "of Wesnoth or Will Savino", lambda f: f.is_of(ORCHESTRAL)),
    ("synthesizer", "of hr3 or Pushover", lambda f: f.is_of(ELECTRONIC)),
    ("ocean", "named ocean, Caribbean, R'lyeh", lambda f: f.has("ocean|caribbean|rlyeh")),
    ("calm piano", "soft", lambda f: not f.is_loud),
    (
        "suspense",
        "named suspense, shadow, deep, vengeful, hell, graveyard, laboratory, underground, dungeon, casual",
        lambda f: f.has(
            "suspense|.*shadow|deep|vengeful|hell|graveyard|laboratory|underground|dungeon|casual"
        ),
    ),
    (
        "heroic march with brass",
        "of Wesnoth, loud, from 80 to 140 beats a minute",
        lambda f: f.is_of("wesnoth") and f.is_loud and 80 <= f.tempo_bpm <= 140,
    ),
    (
        "peaceful forest with flute",
        "soft and of Wesnoth, or named elf, Elvish, Silvan, Laurelmor, jungle",
        lambda f: (
            (f.is_of("wesnoth") and not f.is_loud) or f.has("elf|elvish|silvan|siege_of_laur|hr3-jungle")
        ),
    ),
)
ABSENT = (  # topics that no track of the library has
    *("christmas", "rap with a male voice", "reggae", "gospel choir", "country music with banjo", "salsa"),
    *("barbershop quartet", "a tax return", "quarterly earnings report", "the recipe of a cake"),
)


def facts_of(
    names: Sequence[str], titles: Sequence[str], heard: Sequence[tuple[float, float]]
) -> list[Facts]:
    """Facts of tracks.

    Args:
        names: ways to the files from the folder of the library.
        titles: of the tracks; empty if they have none.
        heard: level in dB and tempo of each.
    """
    median = np.median([level for level, _ in heard])
    return [
        Facts(
            name=f"{Path(name).stem} {title}".lower(),
            folder=_folder(name),
            is_loud=level >= median,
            tempo_bpm=tempo,
        )
        for name, title, (level, tempo) in zip(names, titles, heard, strict=True)
    ]


def _folder(name: str) -> str:
    """The package, or for HyperRogue, where several people made the music, the beginning of the file."""
    return Path(name).stem if name.startswith("hyperrogue") else name


def hear(path: Path) -> tuple[float, float]:
    """Level in dB and tempo of the middle minute of a file.

    The tempo is the lag at which the growth of the spectrum resembles itself most, between 60 and 180.
    """
    with soundfile.SoundFile(path) as file:
        n_wanted = round(EXCERPT_SECONDS * file.samplerate)
        file.seek(max(0, (file.frames - n_wanted) // 2))
        waveform, rate = file.read(n_wanted, dtype="float32", always_2d=True).mean(1), file.samplerate
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
    from solfa.retrieval import Searcher

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with Searcher(arguments.library) as searcher:
        tracks, roots = searcher.tracks(), searcher.roots()
        ids = {track.id: row for row, track in enumerate(tracks)}
        names = [str(track.path.relative_to(roots[0])) for track in tracks]
        heard = [hear(track.path) for track in tracks]
        facts = facts_of(names, [track.tags.get("title", "") for track in tracks], heard)
        vectors = searcher.vectors([track.id for track in tracks])
        mulan = searcher.mulan()
        if mulan is None:
            raise SystemExit("The model of this library knows no words.")

        def by_cosine(centre: np.ndarray) -> Callable[[str], list[int]]:
            units = vectors - centre
            units = units / np.linalg.norm(units, axis=1, keepdims=True)
            return lambda query: np.argsort(-(units @ mulan.embed_text([query])[0].detach().numpy())).tolist()

        rankings: dict[str, Callable[[str], Sequence[int]]] = {
            "as is": by_cosine(np.zeros(1)),
            "centred": by_cosine(vectors.mean(0)),
            "standing out": lambda query: [ids[match.track.id] for match in searcher.search(query, N_JUDGED)],
        }
        rows = judged(rankings, facts)
        arguments.out.write_text(sheet(rows, [Path(name).stem for name in names], len(tracks)))
        for query in (*(query for query, *_ in RULES), *ABSENT):
            answer = searcher.answer(query)
            best = max(match.stands_out or 0 for match in answer.matches)
            print(f"{query}: {best:.2f} {answer.matches[0].fit} {'; '.join(answer.notices)}")


if __name__ == "__main__":
    main()
