"""MTG-Jamendo: tags of genre, instrument, mood and theme, and the 50 most frequent of all."""

from collections.abc import Callable, Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task
from solfa.tasks.kinds import Tags
from solfa.tasks.reading import Row, find_audio, has_marble, marble_rows, numbered, read_table, tag_numbers


def _tags(kind: str, names: str) -> tuple[str, ...]:
    return tuple(f"{kind}---{name}" for name in names.split())


GENRES = _tags(
    "genre",
    "60s 70s 80s 90s acidjazz alternative alternativerock ambient atmospheric blues bluesrock bossanova "
    "breakbeat celtic chanson chillout choir classical classicrock club contemporary country dance "
    "darkambient darkwave deephouse disco downtempo drumnbass dub dubstep easylistening edm electronic "
    "electronica electropop ethno eurodance experimental folk funk fusion groove grunge hard hardrock hiphop "
    "house idm improvisation indie industrial instrumentalpop instrumentalrock jazz jazzfusion latin lounge "
    "medieval metal minimal newage newwave orchestral pop popfolk poprock postrock progressive psychedelic "
    "punkrock rap reggae rnb rock rocknroll singersongwriter soul soundtrack swing symphonic synthpop techno "
    "trance triphop world worldfusion",
)
INSTRUMENTS = _tags(
    "instrument",
    "accordion acousticbassguitar acousticguitar bass beat bell bongo brass cello clarinet classicalguitar "
    "computer doublebass drummachine drums electricguitar electricpiano flute guitar harmonica harp horn "
    "keyboard oboe orchestra organ pad percussion piano pipeorgan rhodes sampler saxophone strings "
    "synthesizer trombone trumpet viola violin voice",
)
MOODS = _tags(
    "mood/theme",
    "action adventure advertising background ballad calm children christmas commercial cool corporate dark "
    "deep documentary drama dramatic dream emotional energetic epic fast film fun funny game groovy happy "
    "heavy holiday hopeful inspiring love meditative melancholic melodic motivational movie nature party "
    "positive powerful relaxing retro romantic sad sexy slow soft soundscape space sport summer trailer "
    "travel upbeat uplifting",
)
TOP50 = (
    *_tags(
        "genre",
        "alternative ambient atmospheric chillout classical dance downtempo easylistening electronic "
        "experimental folk funk hiphop house indie instrumentalpop jazz lounge metal newage orchestral pop "
        "popfolk poprock reggae rock soundtrack techno trance triphop world",
    ),
    *_tags(
        "instrument",
        "acousticguitar bass computer drummachine drums electricguitar electricpiano guitar keyboard piano "
        "strings synthesizer violin voice",
    ),
    *_tags("mood/theme", "emotional energetic film happy relaxing"),
)
SPLIT_NAMES: dict[Split, str] = {"train": "train", "valid": "validation", "test": "test"}
TABLES = ("data/splits/split-0", "splits/split-0", "split-0", ".")
COLUMNS = ("TRACK_ID", "ARTIST_ID", "PATH", "TAGS")
DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/MTG' (Hugging Face) into data/MTG: {marble}.{{train,val,test}}.jsonl and "
    "its audio. Or clone github.com/MTG/mtg-jamendo-dataset into data/MTG (its "
    "data/splits/split-0/{published}-*.tsv are read) and let its download script fetch raw_30s, type "
    "audio-low, into data/MTG/audio-low."
)


def _loader(
    names: tuple[str, ...], marble: str, published: str, download: str
) -> Callable[[Path], Sequence[Item]]:
    """What reads one of the four sets of tags."""
    numbers = numbered(names)

    def load(folder: Path) -> Sequence[Item]:
        tables = next((t for t in TABLES if (folder / t / f"{published}-test.tsv").exists()), None)
        if tables is None or has_marble(folder, marble):
            return [
                Item(
                    audio,
                    split,
                    tag_numbers(row, row.entries("label"), numbers),
                    track=audio.stem,
                    group=audio.stem,
                )
                for split, row, audio in marble_rows(folder, marble, download)
            ]
        return [
            _published_item(row, split, folder, tag_numbers(row, _published_tags(row), numbers))
            for split, name in SPLIT_NAMES.items()
            for row in read_table(
                folder / tables / f"{published}-{name}.tsv", download, COLUMNS, delimiter="\t"
            )
        ]

    return load


def _published_tags(row: Row) -> list[str]:
    """Tags fill the last column and all beyond it."""
    return [row.text("TAGS"), *(tag.strip() for tag in row.values.get("rest") or () if tag.strip())]


def _published_item(row: Row, split: Split, folder: Path, label: tuple[int, ...]) -> Item:
    """The audio comes in two qualities, and those in low quality are called ``.low.mp3``."""
    place = Path(row.text("PATH"))
    low = place.with_suffix(".low.mp3")
    places = [folder / "audio-low" / low, folder / low, folder / "audio" / place, folder / place]
    return Item(
        find_audio(places, row), split, label, track=row.text("TRACK_ID"), group=row.text("ARTIST_ID")
    )


def _task(name: str, title: str, names: tuple[str, ...], marble: str, published: str, size: str) -> Task:
    download = DOWNLOAD.format(marble=marble, published=published)
    return Task(
        name=name,
        title=f"MTG-Jamendo {title}",
        kind=Tags(names),
        metrics=("roc_auc", "pr_auc"),
        clips=ClipRule(seconds=30.0, min_ratio=0.8, channel="mean"),
        licence="metadata CC BY-NC-SA 4.0; audio under Creative Commons licences named track by track",
        size=f"{size} whole tracks before a few tags were dropped; {len(names)} tags",
        split_source="split-0 of the data set: no artist on two sides",
        faults=(
            "Tags come from uploaders: what is not tagged may still be there. MARBLE's lists do not name "
            "artists: there a group is a track."
        ),
        download=download,
        source=(
            "Bogdanov et al., The MTG-Jamendo dataset for automatic music tagging, ICML 2019; protocol: "
            "MARBLE, arXiv:2306.10548"
        ),
        load=_loader(names, marble, published, download),
        folders=("MTG", "mtg-jamendo-dataset", "MTG-Jamendo", "mtg-jamendo"),
    )


MTG_GENRE = _task("mtg_genre", "genre", GENRES, "MTGGenre", "autotagging_genre", "55,215")
MTG_INSTRUMENT = _task(
    "mtg_instrument", "instrument", INSTRUMENTS, "MTGInstrument", "autotagging_instrument", "25,135"
)
MTG_MOOD = _task("mtg_mood", "mood and theme", MOODS, "MTGMood", "autotagging_moodtheme", "18,486")
MTG_TOP50 = _task("mtg_top50", "top 50 tags", TOP50, "MTGTop50", "autotagging_top50tags", "54,380")
