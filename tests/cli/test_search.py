"""solfa search and solfa library: what they print, and what they write."""

import json
import re
from pathlib import Path

import pytest
import soundfile

from command_line import solfa
from golden_data import GOLDEN
from solfa.retrieval import FilterError, QueryError
from synth import chord, melody, noise


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of three tracks, made by a music-text model."""
    folder = tmp_path_factory.mktemp("music")
    sounds = {"chord": chord(60, "maj", 2.0), "tune": melody(12.0, seed=3), "hiss": noise(2.0)}
    for name, waveform in sounds.items():
        (folder / "music" / name).mkdir(parents=True)
        soundfile.write(folder / "music" / name / f"{name}.wav", waveform, 24_000)
    solfa("index", folder / "music", "--library", folder / "library.sqlite", "--model", GOLDEN / "muq_mulan")
    return folder / "library.sqlite"


def test_search_answers_words_with_numbers_times_and_files(library: Path) -> None:
    lines = solfa("search", "calm piano", "--library", library).stdout.splitlines()
    assert len(lines) == 3
    tune = next(line for line in lines if line.endswith("tune.wav"))
    assert re.search(r" 0:\d\d-0:\d\d ", tune)


def test_search_prints_json_of_what_passes_the_filters(library: Path) -> None:
    options = ["--filter", "seconds=10-", "--filter", "folder=tune", "--json"]
    found = json.loads(solfa("search", "calm piano", "--library", library, *options).stdout)["matches"]
    assert [Path(match["path"]).name for match in found] == ["tune.wav"]
    assert found[0]["end"] - found[0]["start"] <= 10


def test_search_adds_and_takes_away(library: Path) -> None:
    path = library.parent / "music" / "hiss" / "hiss.wav"
    lines = solfa("search", f'1 + 0.5 * "piano" - {path}', "--library", library, "--n", 2).stdout
    assert "chord.wav" not in lines and len(lines.splitlines()) == 2


def test_search_writes_a_playlist(library: Path, tmp_path: Path) -> None:
    solfa("search", "calm piano", "--library", library, "--m3u", tmp_path / "calm.m3u8", "--n", 2)
    lines = (tmp_path / "calm.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U" and len(lines) == 5
    assert all(Path(line).is_file() for line in lines[2::2])


def test_names_stand_above_the_answers_by_sound(library: Path) -> None:
    lines = solfa("search", "hiss", "--library", library).stdout.splitlines()
    assert lines[0] == "by name" and "hiss.wav" in lines[1] and lines[2] == "by sound" and len(lines) == 6
    lines = solfa("search", "named: TUNE", "--library", library).stdout.splitlines()
    assert len(lines) == 2 and "tune.wav" in lines[1]
    assert "by name" not in solfa("search", "sounds like: hiss", "--library", library).stdout
    assert "No name has these words" in solfa("search", "named: kerberos", "--library", library).stdout


def test_sums_of_words_take_no_quotes(library: Path) -> None:
    quoted, bare = (
        solfa("search", query, "--library", library, "--json").stdout
        for query in ('"calm piano" + "choir" - "drums"', "calm piano + choir - drums")
    )
    assert json.loads(bare)["matches"] == json.loads(quoted)["matches"]


def test_search_says_when_nothing_passes(library: Path) -> None:
    assert "No track passes" in solfa("search", "x", "--library", library, "--filter", "seconds=99-").stdout


def test_a_query_or_filter_that_is_wrong_says_what_is_right(library: Path) -> None:
    with pytest.raises(QueryError, match="calm piano"):
        solfa("search", "calm + 2 * ", "--library", library)
    with pytest.raises(FilterError, match="year=1990-1999"):
        solfa("search", "bass", "--library", library, "--filter", "year")


def test_a_wrong_question_is_told_before_anything_is_opened(library: Path, tmp_path: Path) -> None:
    none = tmp_path / "none.sqlite"
    with pytest.raises(QueryError, match="There is no track 9999"):
        solfa("search", "9" * 30, "--library", none)
    with pytest.raises(FilterError, match="ends before it begins"):
        solfa("similar", "song.mp3", "--library", none, "--filter", "year=1999-1990")
    for place in (tmp_path, ""):
        result = solfa("search", "1", "--library", none, "--m3u", place, exit_code=2)
        assert "--m3u" in result.output
    for n in (0, -1, "nan"):
        solfa("search", "1", "--library", library, "--n", n, exit_code=2)
    assert len(solfa("search", "1", "--library", library, "--n", "9" * 30).stdout.splitlines()) == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--tags", ""], ["--tags", " "], ["--tags", "piano,,rain"], ["--tags", ","], ["--tags", "\x1c"],
        ["--tags", "piano", "--prompt", "no place"], ["--prompt", "{}{}"], ["--over-time", "inf"],
        ["--over-time", "nan"], ["--over-time", "1e300"], ["--over-time", "0"], ["--top", "0"],
        ["--out", "tags.txt"], ["--out", ""],
    ],
)  # fmt: skip
def test_options_of_tag_that_say_nothing_are_usage_errors(
    library: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """They are told before a model is loaded or a file is read."""
    monkeypatch.setattr("solfa.models.load", lambda *_: pytest.fail("loaded a model"))
    result = solfa("tag", library.parent / "music", *options, exit_code=2)
    assert options[-2] in result.output


def test_a_tag_that_is_no_text_is_told(library: Path) -> None:
    for options in (["--tags", "piano,\udcff"], ["--tags", "rain", "--prompt", "\udcff {}"]):
        with pytest.raises(ValueError, match="not UTF-8"):
            solfa("tag", library.parent / "music", "--model", GOLDEN / "muq_mulan", *options)


def test_a_library_is_exported_and_mapped(library: Path, tmp_path: Path) -> None:
    assert "3 tracks" in solfa("library", "export", library, "--out", tmp_path / "out.jsonl").stdout
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    assert "3 tracks are on the map" in solfa("library", "map", library).stdout
    result = solfa("library", "export", library, "--out", tmp_path / "out.csv", exit_code=2)
    assert ".parquet" in result.stderr
