"""Harmonix: sections of pop songs."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task
from solfa.tasks.kinds import FrameClasses, Span
from solfa.tasks.reading import Row, draw, find_audio, read_table, read_text

SECTIONS = ("intro", "verse", "chorus", "bridge", "inst", "outro", "silence")
KEYWORDS = (  # the first one that a label holds decides
    *(("silence", "silence"), ("prechorus", "verse"), ("pre-chorus", "verse"), ("refrain", "chorus")),
    *(("chorus", "chorus"), ("theme", "chorus"), ("stutter", "chorus"), ("verse", "verse"), ("rap", "verse")),
    *(("section", "verse"), ("slow", "verse"), ("build", "verse"), ("dialog", "verse"), ("intro", "intro")),
    *(("fadein", "intro"), ("opening", "intro"), ("bridge", "bridge"), ("trans", "bridge"), ("out", "outro")),
    *(("coda", "outro"), ("ending", "outro"), ("break", "inst"), ("inst", "inst"), ("interlude", "inst")),
    *(("impro", "inst"), ("solo", "inst")),
)
END = "end"
SPLITS_OF_ARTIST: tuple[Split, ...] = (*("train",) * 8, "valid", "test")  # by draw
DOWNLOAD = (
    "Clone github.com/urinieto/harmonixset into data/Harmonix (its dataset/metadata.csv and "
    "dataset/segments/ are read) and put your own recordings beside them as data/Harmonix/audio/FILE.mp3 (or "
    ".wav, .flac), where FILE is the first column of metadata.csv. The set holds no audio; MARBLE v2 has no "
    "files for this task."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of the Harmonix set with their sections. Raises TaskError."""
    home = folder / "dataset" if (folder / "dataset").is_dir() else folder
    items = []
    for row in read_table(home / "metadata.csv", DOWNLOAD, ("File", "Artist")):
        name, artist = row.text("File"), plain_artist(row.text("Artist"))
        items.append(
            Item(
                find_audio([folder / "audio" / f"{name}.mp3"], row),
                SPLITS_OF_ARTIST[draw(artist, len(SPLITS_OF_ARTIST))],
                read_sections(home / "segments" / f"{name}.txt"),
                track=name,
                group=artist,
            )
        )
    return items


def plain_artist(name: str) -> str:
    """An artist without guests, in lower case."""
    return name.lower().split(" feat")[0].strip()


def section_number(label: str) -> int | None:
    """Place in ``SECTIONS`` of a label of the set, such as "verse2" or "gtrsolo"; None if it tells nothing.

    Source:
        Classes and keywords of Wang, Hung and Smith, arXiv:2205.14700.
    """
    for keyword, section in KEYWORDS:
        if keyword in label.lower():
            return SECTIONS.index(section)
    return None


def read_sections(path: Path) -> tuple[Span, ...]:
    """Sections of a file of boundaries: each starts at its own line and ends at the next."""
    boundaries: list[tuple[float, str]] = []
    for line, text in enumerate(read_text(path, DOWNLOAD).split("\n"), start=1):
        if text.strip():
            row = Row(dict(zip(("second", "label"), text.split(maxsplit=1), strict=False)), path, line)
            second, label = row.number("second"), row.text("label")
            if boundaries and second < boundaries[-1][0]:
                raise row.broken(f"lies at {second} s, before the line above it")
            boundaries.append((second, label))
    if not boundaries or boundaries[-1][1].lower() != END:
        last = Row({}, path, len(boundaries) or 1)
        raise last.broken(f"should be the last boundary, '{END}'", f"Fetch the file again. {DOWNLOAD}")
    spans = []
    for (start, label), (end, _) in pairwise(boundaries):
        number = section_number(label)
        if number is not None and start < end:
            spans.append(Span(start, end, number))
    return tuple(spans)


HARMONIX_STRUCTURE = Task(
    name="harmonix_structure",
    title="Harmonix structure",
    kind=FrameClasses(SECTIONS),
    metrics=("frame_accuracy", "hr5f"),
    clips=ClipRule(seconds=24.0, min_ratio=0.1, channel="mean"),
    licence="annotations MIT; no audio, recordings under copyright",
    size="912 songs",
    split_source="by the hash of the artist, 8 : 1 : 1 (ours): the splits of MuQ and MusicFM are unknown",
    faults=(
        "Annotated on recordings of Harmonix: another master or a video may be shifted by seconds. Labels "
        "that hold no known keyword are not counted. The protocol behind published rows is unknown; clips "
        "of 24 s as in MusicFM. Not strictly comparable."
    ),
    download=DOWNLOAD,
    source=(
        "Nieto et al., The Harmonix set, ISMIR 2019; classes: Wang et al., arXiv:2205.14700; clips: MusicFM, "
        "arXiv:2311.03318"
    ),
    load=load,
    folders=("Harmonix", "harmonixset"),
)
