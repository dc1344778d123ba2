"""MUSDB18: vocals, drums, bass and the rest of 150 mixtures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task, TaskError
from solfa.tasks.kinds import Stems

STEMS = ("vocals", "drums", "bass", "other")
VALID = (  # of the folder train, as the data set's own reader has it
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)
DOWNLOAD = (
    "Unpack MUSDB18-HQ (zenodo.org/records/3338373) into data/MUSDB18, so that data/MUSDB18/train/'ARTIST - "
    "TITLE'/ holds mixture.wav, vocals.wav, drums.wav, bass.wav and other.wav; likewise test/. The "
    "compressed MUSDB18 (.stem.mp4) is not read. MARBLE v2 has no files for this task."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of MUSDB18-HQ: mixtures with the paths of their stems. Raises TaskError."""
    return [
        Item(
            track / "mixture.wav",
            _split(part, track.name),
            tuple(track / f"{stem}.wav" for stem in STEMS),
            track=track.name,
            group=track.name,
        )
        for part, track in _tracks(folder)
    ]


def _tracks(folder: Path) -> Iterator[tuple[str, Path]]:
    for part in ("train", "test"):
        home = folder / part
        tracks = sorted(path for path in home.glob("*") if path.is_dir())
        if not tracks:
            raise TaskError(f"{home} is missing or holds no tracks. {DOWNLOAD}")
        for track in tracks:
            for name in ("mixture", *STEMS):
                if not (track / f"{name}.wav").is_file():
                    raise TaskError(
                        f"{track / f'{name}.wav'} is missing. Unpack this track again. {DOWNLOAD}"
                    )
            yield part, track


def _split(part: str, track: str) -> Split:
    if part == "test":
        return "test"
    return "valid" if track in VALID else "train"


MUSDB18 = Task(
    name="musdb18",
    title="MUSDB18 source separation",
    kind=Stems(STEMS),
    metrics=("sdr",),
    clips=ClipRule(seconds=6.0, min_ratio=0.8, channel="mean"),
    licence="educational use only; parts CC BY-NC-SA 4.0",
    size="150 tracks, about 10 h: 86 to train, 14 to validate, 50 to test",
    split_source="the data set's own; 14 tracks to validate as in its reader musdb",
    faults=(
        "Artists of several tracks may stand on two sides: a group is a track. Silent windows have no SDR. "
        "Separated and scored in mono at the encoder's rate, on which published rows say nothing."
    ),
    download=DOWNLOAD,
    source="Rafii et al., MUSDB18-HQ, 2019; protocol: MARBLE v1, arXiv:2306.10548",
    load=load,
    folders=("MUSDB18", "musdb18hq", "MUSDB18HQ", "MUSDB18-HQ"),
)
