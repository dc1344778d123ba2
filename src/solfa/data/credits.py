"""Credits: every track, soundfont and teacher that a model learned from, with its licence, as a page."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from solfa.data.manifest import Track
from solfa.data.stored_teachers import TeacherDescription
from solfa.errors import ArgumentError

UNNAMED = "not stated"
HEAD = """# Credits

What the bundled models learned from, and under which licence. Made by

```
{command}
```

{n_tracks} tracks, {hours:.1f} hours; each stands once, whatever the number of lists that it is on.
"""
TOTALS = """
## Hours by licence

| licence | tracks | hours |
|---|---:|---:|
{rows}
"""
FONTS = """
## Soundfonts

Each channel of a rendered track is played by one of the soundfonts that are named with it.

| soundfonts | licences | tracks | hours |
|---|---|---:|---:|
{rows}
"""
TEACHERS = """
## Teachers

| teacher | licence | SHA-256 of what it is |
|---|---|---|
{rows}
"""
RECORDINGS = """
## Recordings

{groups}"""
RENDERED = """
## Rendered music

Titles of pieces; soundfonts stand above.

{groups}"""


def write_credits(
    tracks: Sequence[Track],
    teachers: Sequence[TeacherDescription] = (),
    others: Mapping[str, str] | None = None,
    command: str = "",
) -> str:
    """The page, in Markdown.

    Args:
        tracks: what models learned from; the ``licence`` in their tags is theirs.
        teachers: frozen models that taught.
        others: further parts, such as a language model, and their licences.
        command: that made the page.

    Raises:
        ArgumentError: a track states no licence; all such are counted, one is named.
    """
    once = list({track.content_hash: track for track in tracks}.values())
    silent = [track for track in once if not track.tags.get("licence")]
    if silent:
        raise ArgumentError(
            f"{len(silent)} tracks state no licence, as {silent[0].path}. Write a tag 'licence' into their "
            "lines, or leave them out: what is not licensed cannot be credited."
        )
    rendered = [track for track in once if track.tags.get("corpus")]
    recorded = [track for track in once if not track.tags.get("corpus")]
    parts = [HEAD.format(command=command, n_tracks=len(once), hours=_hours(once))]
    parts.append(TOTALS.format(rows=_table(once, ("licence",))))
    if rendered:
        parts.append(FONTS.format(rows=_table(rendered, ("soundfont", "soundfont_licence"))))
    known = [(one.name, one.license, f"`{one.fingerprint}`") for one in teachers]
    known += [(name, licence, "") for name, licence in (others or {}).items()]
    if known:
        parts.append(TEACHERS.format(rows="\n".join(map(_row, known))))
    if recorded:
        parts.append(RECORDINGS.format(groups=_groups(recorded, "package", _recording)))
    if rendered:
        parts.append(RENDERED.format(groups=_groups(rendered, "corpus", _piece)))
    return "".join(parts)


def _groups(tracks: Sequence[Track], tag: str, say: Callable[[Track], str]) -> str:
    """A heading and a list of tracks for each value of a tag and licence."""
    groups: dict[tuple[str, str], list[Track]] = defaultdict(list)
    for track in tracks:
        groups[track.tags.get(tag, UNNAMED), track.tags["licence"]].append(track)
    return "\n".join(
        f"### {name}: {licence}\n\n{len(of)} tracks, {_hours(of):.2f} h: {'; '.join(sorted(map(say, of)))}\n"
        for (name, licence), of in sorted(groups.items())
    )


def _recording(track: Track) -> str:
    """Title and artist, or the name of the file."""
    title = track.tags.get("title") or track.path.name
    artist = track.tags.get("artist")
    return _plain(f"{title} ({artist})" if artist else title)


def _piece(track: Track) -> str:
    return _plain(track.tags.get("title") or track.path.stem)


def _table(tracks: Iterable[Track], tags: tuple[str, ...]) -> str:
    groups: dict[tuple[str, ...], list[Track]] = defaultdict(list)
    for track in tracks:
        groups[tuple(track.tags.get(tag, UNNAMED) for tag in tags)].append(track)
    largest = sorted(groups.items(), key=lambda item: (-_hours(item[1]), item[0]))
    return "\n".join(_row((*names, str(len(of)), f"{_hours(of):.2f}")) for names, of in largest)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Without what Markdown would read as its own."""
    return " ".join(text.replace("|", "/").replace("<", "(").replace(">", ")").split())


def _hours(tracks: Iterable[Track]) -> float:
    return sum(track.seconds for track in tracks) / 3600
