"""The recipes among other programs, each against the real one where it is there: MPD, beets, supysonic."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from page_server import wait_until
from solfa.embedding import WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library
from synth import chord, melody

EXAMPLES = Path(__file__).parent.parent / "examples"
RATE = 24_000


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Five tracks in a folder of two, with their titles."""
    folder = tmp_path / "music"
    (folder / "slow").mkdir(parents=True)
    tracks = {
        "slow/major.flac": chord(60, "maj", 3.0), "slow/minor.flac": chord(57, "min", 3.0),
        "tune.flac": melody(4.0, seed=1), "song.flac": melody(4.0, seed=2), "air.flac": melody(4.0, seed=3),
    }  # fmt: skip
    for name, waveform in tracks.items():
        with soundfile.SoundFile(folder / name, "w", RATE, 1) as file:
            file.title, file.artist = Path(name).stem, "nobody"
            file.write(waveform)
    return folder


@pytest.fixture
def library(music: Path, tmp_path: Path, tiny_encoder: AudioEncoder) -> Path:
    path = tmp_path / "music.sqlite"
    space = describe_space(tiny_encoder, "/gone/model", layer=2, pool="mean", windows=WindowConfig())
    with Library(path, space) as opened:
        assert not opened.update([music], tiny_encoder).refused
    return path


def run(*words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env={**os.environ, **variables}
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Until a server takes connections."""

    def is_answering() -> bool:
        assert process.poll() is None
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_answering)


@pytest.fixture
def mpd(music: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where a music player daemon that plays into nothing answers mpc, with its database made."""
    state, port = tmp_path / "mpd", free_port()
    state.mkdir()
    (state / "conf").write_text(
        f'music_directory "{music}"\ndb_file "{state}/db"\nlog_file "{state}/log"\n'
        f'bind_to_address "127.0.0.1"\nport "{port}"\naudio_output {{\ntype "null"\nname "none"\n}}\n'
    )
    process = subprocess.Popen(["mpd", "--no-daemon", str(state / "conf")], stdin=subprocess.DEVNULL)
    at = {"MPD_HOST": "127.0.0.1", "MPD_PORT": str(port)}
    try:
        wait_for(process, port)
        for words in (["update", "--wait"], ["repeat", "on"], ["single", "on"]):  # a track goes on for ever
            run("mpc", *words, **at)
        yield at
    finally:
        process.terminate()
        process.wait()


def queue(at: dict[str, str]) -> list[str]:
    return run("mpc", "playlist", "--format", "%file%", **at).stdout.splitlines()


@needs("mpd", "mpc")
def test_mpd_plays_on_with_what_sounds_alike(library: Path, music: Path, mpd: dict[str, str]) -> None:
    words = [sys.executable, EXAMPLES / "mpd_similar.py", "--library", library, "--music", music]
    idle = run(*words, **mpd)
    assert idle.returncode == 1 and "mpc play" in idle.stderr
    run("mpc", "add", "tune.flac", **mpd)
    run("mpc", "play", **mpd)
    done = run(*words, "--n", "2", **mpd)
    assert done.returncode == 0, done.stderr
    queued = queue(mpd)
    assert len(set(queued)) == 3 and queued[0] == "tune.flac"
    assert done.stdout.splitlines() == [f"queued {file}" for file in queued[1:]]
    run(*words, "--n", "9", **mpd)
    assert sorted(queue(mpd)) == sorted(str(path.relative_to(music)) for path in music.rglob("*.flac"))


@needs("mpd", "mpc")
def test_mpd_is_followed_to_the_end_of_its_queue(library: Path, music: Path, mpd: dict[str, str]) -> None:
    words = [sys.executable, EXAMPLES / "mpd_similar.py", "--library", library, "--music", music]
    run("mpc", "add", "air.flac", **mpd)
    with subprocess.Popen([*map(str, words), "--follow", "--n", "1"], env={**os.environ, **mpd}) as following:
        try:
            run("mpc", "play", **mpd)
            wait_until(lambda: len(queue(mpd)) == 2)
            run("mpc", "next", **mpd)
            wait_until(lambda: len(queue(mpd)) == 3)
            assert len(set(queue(mpd))) == 3
        finally:
            following.terminate()


@needs("mpd", "mpc")
def test_music_of_mpd_that_the_library_lacks_is_said(
    library: Path, music: Path, mpd: dict[str, str], tmp_path: Path
) -> None:
    run("mpc", "add", "tune.flac", **mpd)
    run("mpc", "play", **mpd)
    done = run(sys.executable, EXAMPLES / "mpd_similar.py", "--library", library, "--music", tmp_path, **mpd)
    assert done.returncode == 1 and "solfa index" in done.stderr


@needs("beet")
def test_beets_lists_what_sounds_like_a_track(library: Path, music: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"directory: {music}\nlibrary: {tmp_path}/beets.db\nimport:\n  copy: no\n  write: no\n"
        f"pluginpath: {EXAMPLES}/beetsplug\nplugins: solfa\n"
        f"solfa:\n  command: {sys.executable} -m solfa\n  library: {library}\n"
    )
    at = {"BEETSDIR": str(tmp_path)}
    imported = run("beet", "import", "--quiet", "--noautotag", music, **at)
    assert imported.returncode == 0, imported.stderr
    found = run("beet", "similar", "-n", "2", "-f", "$artist: $title", "title:tune", **at)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 2 and "nobody: tune" not in lines
    assert set(lines) <= {f"nobody: {title}" for title in ("major", "minor", "song", "air")}
    paths = run("beet", "similar", "-p", "title:tune", **at).stdout.splitlines()
    assert len(paths) == 4 and all(Path(path).is_file() for path in paths)
    many = run("beet", "similar", "artist:nobody", **at)
    assert many.returncode == 1 and "5 tracks match" in many.stderr
    wrong = tmp_path / "config.yaml"
    wrong.write_text(wrong.read_text().replace(str(library), str(tmp_path / "none.sqlite")))
    gone = run("beet", "similar", "title:tune", **at)
    assert gone.returncode == 1 and "solfa index" in gone.stderr


@needs("supysonic-cli", "supysonic-server")
def test_a_music_server_gets_a_playlist_of_what_was_found(library: Path, music: Path, tmp_path: Path) -> None:
    libsonic = pytest.importorskip("libsonic", reason="this test needs py-sonic")
    port = free_port()
    (tmp_path / ".supysonic").write_text(
        f"[base]\ndatabase_uri = sqlite:///{tmp_path}/supysonic.db\n[webapp]\ncache_dir = {tmp_path}/cache\n"
        f"[daemon]\nsocket = {tmp_path}/socket\n"
    )
    at = {"HOME": str(tmp_path), "SUBSONIC_PASSWORD": "sesame"}
    for words in (
        ["user", "add", "anna", "--password", "sesame"],
        ["folder", "add", "music", str(music)],
        ["folder", "scan", "--foreground", "music"],
    ):
        done = run("supysonic-cli", *words, **at)
        assert done.returncode == 0, done.stdout + done.stderr
    way = ["--server", f"http://127.0.0.1:{port}", "--user", "anna", "--plain", "--library", library]
    with subprocess.Popen(
        ["supysonic-server", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **at},
    ) as server:
        try:
            wait_for(server, port)
            done = run(
                sys.executable, EXAMPLES / "subsonic_playlist.py", "999", "--name", "none", *way, **at,
            )  # fmt: skip
            assert done.returncode == 1 and "no track 999" in done.stderr
            with Library(library) as opened:
                id = next(track.id for track in opened.tracks() if track.title == "tune")
            done = run(
                sys.executable, EXAMPLES / "subsonic_playlist.py", str(id), "--name", "like tune", "--n", "3",
                *way, **at,
            )  # fmt: skip
            assert "like tune: 3 of 3 tracks" in done.stdout, done.stderr
            player = libsonic.Connection("http://127.0.0.1", "anna", "sesame", port=port, legacyAuth=True)
            (known,) = player.getPlaylists()["playlists"]["playlist"]
            entries = player.getPlaylist(known["id"])["playlist"]["entry"]
            assert len(entries) == 3 and "tune" not in {song["title"] for song in entries}
        finally:
            server.terminate()
