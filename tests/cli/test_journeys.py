"""solfa path, solfa library clusters and duplicates: what they print, and what they write."""

import json
from pathlib import Path

import pytest
import soundfile

from command_line import solfa
from golden_data import GOLDEN
from solfa.retrieval import LibraryError, QueryError
from synth import chord, melody, noise

RATE = 24_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tune, the same encoded anew, a part of it, and three others; numbers by name."""
    folder = tmp_path_factory.mktemp("journeys")
    (folder / "music").mkdir()
    tune = melody(14.0, seed=3)
    sounds = {"a-tune.wav": tune, "b-tune.ogg": tune, "c-part.wav": tune[2 * RATE : 12 * RATE]}
    sounds |= {
        "d-other.wav": melody(14.0, seed=9),
        "e-hiss.wav": noise(8.0),
        "f-chord.wav": chord(60, "maj", 8.0),
    }
    for name, waveform in sounds.items():
        soundfile.write(folder / "music" / name, waveform, RATE)
    solfa("index", folder / "music", "--library", folder / "library.sqlite", "--model", GOLDEN / "muq_mulan")
    return folder / "library.sqlite"


def test_a_path_is_printed_and_kept(library: Path, tmp_path: Path) -> None:
    lines = solfa(
        "path", 1, 5, "--library", library, "--n", 2, "--m3u", tmp_path / "way.m3u8"
    ).stdout.splitlines()
    assert lines[0].endswith("a-tune.wav") and lines[-1].endswith("e-hiss.wav") and 2 <= len(lines) <= 4
    assert (tmp_path / "way.m3u8").read_text().count("#EXTINF") == len(lines)
    file = library.parent / "music" / "a-tune.wav"
    found = json.loads(solfa("path", file, 5, "--library", library, "--n", 2, "--json").stdout)["path"]
    assert Path(found[0]["path"]).name == "a-tune.wav" and len(found) == len(lines)


def test_a_path_needs_tracks_of_the_library(library: Path) -> None:
    with pytest.raises(LibraryError, match="There is no track 99"):
        solfa("path", 1, 99, "--library", library)
    for text in ("calm", "missing.wav"):
        with pytest.raises(QueryError, match="Give its number"):
            solfa("path", text, 1, "--library", library)


def test_clusters_have_names_and_playlists(library: Path, tmp_path: Path) -> None:
    options = ("--n", 3, "--m3u", tmp_path / "lists", "--json")
    clusters = json.loads(solfa("library", "clusters", library, *options).stdout)["clusters"]
    assert len({cluster["name"] for cluster in clusters}) == len(clusters) == 3
    assert sorted(track["id"] for cluster in clusters for track in cluster["tracks"]) == [1, 2, 3, 4, 5, 6]
    assert len(list((tmp_path / "lists").glob("*.m3u8"))) == 3
    assert "a-tune" in solfa("library", "clusters", library, "--n", 1).stdout


def test_duplicates_are_told_apart_from_what_only_sounds_alike(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.retrieval.duplicates.NEAREST", -1.0)  # the model's weights are random
    pairs = json.loads(solfa("library", "duplicates", library, "--json").stdout)["duplicates"]
    kinds = {(pair["first"]["id"], pair["second"]["id"]): pair["kind"] for pair in pairs}
    assert kinds == {(1, 2): "same", (1, 3): "cut", (2, 3): "cut"}
    said = solfa("library", "duplicates", library).stdout
    assert "is the same recording as" in said and "is a part of" in said and "from 2.0 s on" in said
    assert "3 tracks are 1 recording\n" in said
