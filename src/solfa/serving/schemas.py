"""What the API answers, as it stands in its description."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from solfa.retrieval import Answer, LibraryTrack
from solfa.retrieval.playlists import LONGEST_NAME
from solfa.serving.places import shown_folder

# What browsers may play as it is; whether one does, its own player says. All else is sent as WAV.
MEDIA_TYPES = {
    ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg; codecs=opus",
    ".flac": "audio/flac", ".wav": "audio/wav", ".wave": "audio/wav", ".m4a": "audio/mp4",
    ".mp4": "audio/mp4", ".aac": "audio/aac", ".webm": "audio/webm",
}  # fmt: skip
SHOWN_TAGS = 20
LARGEST = 2**63 - 1  # number that SQLite can hold
MOST_LISTED = 20_000  # tracks in a playlist, and on a map
LONGEST_PREFIX = 500


@dataclass(frozen=True, kw_only=True)
class Example:
    """A query to try, and what it does."""

    label: str
    query: str


@dataclass(frozen=True, kw_only=True)
class LibraryAnswer:
    """What is in the library, and what its model can do."""

    name: str
    n_tracks: int
    model: str  # its published name, or that of its folder
    license: str  # of the model's weights; empty if nobody stated one
    knows_words: bool
    takes_files: bool
    notice: str  # why words or files are not understood; empty if they are
    upload_bytes: int  # at most
    query_letters: int  # at most
    is_editable: bool  # whether playlists and likes may be kept from here
    tells_places: bool  # whether playlists say where files lie
    examples: Sequence[Example]


@dataclass(frozen=True, kw_only=True)
class TrackAnswer:
    """A track of the library."""

    id: int
    title: str
    artist: str
    file: str
    folder: str  # the last two folders on the way to the file, below the folder of the library
    seconds: float
    sample_rate: int  # Hz
    n_channels: int
    media_type: str  # of the file; empty if browsers play it only as WAV
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class TracksAnswer:
    """Some tracks, by path, and how many there are."""

    tracks: Sequence[TrackAnswer]
    n_tracks: int


@dataclass(frozen=True, kw_only=True)
class MatchAnswer:
    """A track that was found, and the stretch of it that fits best."""

    track: TrackAnswer
    fit: str  # strong, fair or weak; empty if nothing can be said
    stands_out: float  # standard deviations among other queries; 0 if nothing can be said
    start: float  # seconds
    end: float


@dataclass(frozen=True, kw_only=True)
class FoundAnswer:
    """What was found, best first."""

    matches: Sequence[MatchAnswer]  # by sound
    named: Sequence[TrackAnswer] = ()  # whose names have the words of the query
    notices: Sequence[str] = ()  # what is to be known besides


@dataclass(frozen=True, kw_only=True)
class NameAnswer:
    """A name that goes on as somebody has begun to write."""

    text: str
    kind: str  # title, artist, album or folder


@dataclass(frozen=True, kw_only=True)
class NamesAnswer:
    """Names to be offered while somebody types, best first."""

    names: Sequence[NameAnswer]


@dataclass(frozen=True, kw_only=True)
class WaveformAnswer:
    """Loudness of a track over time."""

    seconds: float
    peaks: Sequence[int]  # of equal stretches that fill the track, 0 to 255 for 0 to full scale


@dataclass(frozen=True, kw_only=True)
class TagBar:
    """Fit of a tag to a track."""

    tag: str
    family: str  # mood, genre, instrument, voice or tempo; yours for tags that were named
    confidence: float  # its share beside its family and any music, in [0, 1]
    is_sure: bool  # one of the five at most that are shown


@dataclass(frozen=True, kw_only=True)
class TagsAnswer:
    """Fit of tags to a track and to its segments, the sure ones first."""

    bars: Sequence[TagBar]
    starts: Sequence[float]  # of the segments, in seconds
    ends: Sequence[float]
    over_time: Sequence[Sequence[float]]  # a row for each bar: confidence for each segment


@dataclass(frozen=True, kw_only=True)
class SimilarityAnswer:
    """Likeness of the segments of a track to each other."""

    starts: Sequence[float]  # seconds
    ends: Sequence[float]
    cosines: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    """A track on the map."""

    id: int
    x: float  # in [-1, 1]
    y: float
    title: str
    artist: str
    genre: str  # the first one; empty if it has none
    folder: str  # that the file lies in, below the folder of the library


@dataclass(frozen=True, kw_only=True)
class MapAnswer:
    """The map: what sounds alike lies together."""

    points: Sequence[MapPoint]
    n_left_out: int  # tracks that are too many for a page


@dataclass(frozen=True, kw_only=True)
class MapCluster:
    """Tracks on the map that sound alike."""

    name: str
    ids: Sequence[int]  # the most typical first


@dataclass(frozen=True, kw_only=True)
class MapClustersAnswer:
    """Clusters that hold all tracks, the largest first."""

    clusters: Sequence[MapCluster]


Ids = Annotated[list[Annotated[int, Field(ge=1, le=LARGEST)]], Field(max_length=MOST_LISTED)]
PlaylistName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


@dataclass(frozen=True, kw_only=True)
class PlaylistRequest:
    """Tracks of a playlist, in their order, and how their files are named."""

    ids: Ids
    form: Literal["default", "relative"] = "default"
    prefix: Annotated[str, Field(max_length=LONGEST_PREFIX)] = (
        ""  # before relative names, for another machine
    )


@dataclass(frozen=True, kw_only=True)
class PlaylistWish:
    """A playlist to be kept."""

    name: PlaylistName
    ids: Ids


@dataclass(frozen=True, kw_only=True)
class PlaylistChange:
    """What is to become of a playlist; what is left out stays."""

    name: PlaylistName | None = None
    ids: Ids | None = None  # in place of those that it has
    added: Ids = field(default_factory=list)  # behind the others


@dataclass(frozen=True, kw_only=True)
class PlaylistLine:
    """A playlist, without its tracks."""

    id: int
    name: str
    n_tracks: int
    is_of_likes: bool


@dataclass(frozen=True, kw_only=True)
class PlaylistsAnswer:
    """All playlists."""

    playlists: Sequence[PlaylistLine]


@dataclass(frozen=True, kw_only=True)
class PlaylistAnswer:
    """A playlist with its tracks."""

    id: int
    name: str
    is_of_likes: bool
    tracks: Sequence[TrackAnswer]
    n_missing: int  # tracks that have left the library


@dataclass(frozen=True, kw_only=True)
class LikesAnswer:
    """The numbers of the tracks that are liked, the newest like last."""

    ids: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class PathAnswer:
    """The tracks of a path, both ends included."""

    tracks: Sequence[TrackAnswer]


@dataclass(frozen=True, kw_only=True)
class ClusterAnswer:
    """Tracks that sound alike."""

    name: str
    n_tracks: int
    tracks: Sequence[TrackAnswer]  # the most typical first; of very many, some


@dataclass(frozen=True, kw_only=True)
class ClustersAnswer:
    """All clusters, the largest first."""

    clusters: Sequence[ClusterAnswer]


@dataclass(frozen=True, kw_only=True)
class DuplicateAnswer:
    """Two tracks that are one recording."""

    first: TrackAnswer  # the longer one
    second: TrackAnswer
    kind: Literal["copy", "same", "cut"]  # the same file; the recording in another file; a part of it
    agreement: float  # of the fingerprints, in [0.5, 1]
    offset: float  # seconds of the first at which the second begins


@dataclass(frozen=True, kw_only=True)
class DuplicatesAnswer:
    """What a look for duplicates has found, and how far it is."""

    is_done: bool
    n_done: int  # pairs that were listened to
    n_pairs: int
    duplicates: Sequence[DuplicateAnswer]  # the surest first; none until it is done


@dataclass(frozen=True, kw_only=True)
class ChoiceAnswer:
    """A filter, and how many tracks it leaves."""

    label: str
    filter: str  # as it stands in a query
    n_tracks: int


@dataclass(frozen=True, kw_only=True)
class FacetAnswer:
    """Filters of one kind."""

    name: str  # year, seconds, tempo, artist or folder
    choices: Sequence[ChoiceAnswer]


@dataclass(frozen=True, kw_only=True)
class FacetsAnswer:
    """All filters that would narrow the tracks down."""

    facets: Sequence[FacetAnswer]


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """What went wrong, and the cure."""

    error: str


def track_answer(track: LibraryTrack, roots: Sequence[Path]) -> TrackAnswer:
    """A track as the page shows it; ``roots`` are the folders of the library, which it does not show."""
    tags = list(track.tags.items())[:SHOWN_TAGS]
    return TrackAnswer(
        id=track.id, title=readable(track.title), artist=readable(track.artist),
        file=readable(track.path.name), folder=readable(shown_folder(track.path, roots)),
        seconds=track.seconds, sample_rate=track.sample_rate, n_channels=track.n_channels,
        media_type=media_type(track.path), tags={readable(name): readable(value) for name, value in tags},
    )  # fmt: skip


def found_answer(answer: Answer, roots: Sequence[Path]) -> FoundAnswer:
    """What was found as the page shows it."""
    return FoundAnswer(
        named=[track_answer(track, roots) for track in answer.named],
        notices=answer.notices,
        matches=[
            MatchAnswer(
                track=track_answer(match.track, roots),
                fit=match.fit or "",
                stands_out=round(match.stands_out or 0.0, 3),
                start=match.start,
                end=match.end,
            )
            for match in answer.matches
        ],
    )


def media_type(path: Path) -> str:
    """Of a file that browsers may play, by its name; empty for others."""
    return MEDIA_TYPES.get(path.suffix.lower(), "")


def readable(text: str) -> str:
    """Text as it is; what is no text in a file name becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode()
