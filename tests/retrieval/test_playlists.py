"""What people keep in a library: playlists and likes, which follow their tracks; and merged libraries."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from solfa.embedding import SpaceError, WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library, UnknownTrackError
from solfa.retrieval.export import moved
from solfa.retrieval.merging import merge_into
from solfa.retrieval.playlists import LIKED, PlaylistError, UnknownPlaylistError
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


def titles(library: Library, name: str) -> list[str]:
    return [track.title for track in library.playlist_tracks(library.playlist(name))]


def ids(library: Library) -> dict[str, int]:
    return {track.title: track.id for track in library.tracks()}


def test_a_playlist_keeps_its_order_and_comes_back(library_path: Path) -> None:
    with Library(library_path) as library:
        known = ids(library)
        made = library.make_playlist("  rainy\n evening ", [known["tune"], known["noise"], known["tune"]])
        assert (made.name, made.n_tracks) == ("rainy evening", 3)
    with Library(library_path) as library:
        assert titles(library, "rainy evening") == ["tune", "noise", "tune"]
        renamed = library.rename_playlist(library.playlist(made.id), "night")
        library.fill_playlist(renamed, [known["noise"]])
        assert [playlist.name for playlist in library.playlists()] == ["night"]
        assert titles(library, "night") == ["noise"]
        library.remove_playlist(renamed)
        assert library.playlists() == [] and len(library) == 8


def test_a_playlist_follows_files_that_move_change_and_come_back(
    library_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    music = library_path.parent / "music"
    with Library(library_path) as library:
        known = ids(library)
        library.make_playlist("kept", [known["tune"], known["noise"], known["clicks 90"], known["chord 60"]])
        (music / "tune.wav").rename(music / "moved.wav")
        write_wav(music / "clicks 90.wav", melody(3.0, seed=8))
        away = music.parent / "away.wav"
        (music / "noise.wav").rename(away)
        library.update([music], tiny_encoder)
        assert titles(library, "kept") == ["moved", "clicks 90", "chord 60"]
        assert library.playlist("kept").n_tracks == 4
        # An edit keeps what is missing now.
        chosen = library.playlist_tracks(library.playlist("kept"))[:2]
        library.fill_playlist(library.playlist("kept"), [track.id for track in chosen])
        away.rename(music / "noise.wav")
        library.update([music], tiny_encoder)
        assert titles(library, "kept") == ["moved", "clicks 90", "noise"]


def test_likes_are_a_playlist_of_their_own(library_path: Path) -> None:
    with Library(library_path) as library:
        known = ids(library)
        assert library.likes() == []
        library.make_playlist("a", [])
        assert library.like([known["tune"], known["noise"]]) == [known["tune"], known["noise"]]
        assert library.like([known["tune"]]) == [known["tune"], known["noise"]]
        assert library.like([known["tune"]], likes=False) == library.likes() == [known["noise"]]
        assert [playlist.name for playlist in library.playlists()] == [LIKED, "a"]
        with pytest.raises(PlaylistError, match="stays so"):
            library.rename_playlist(library.playlist(LIKED), "others")


def test_what_cannot_be_kept_is_explained(library_path: Path) -> None:
    with Library(library_path) as library:
        with pytest.raises(UnknownPlaylistError, match="none yet"):
            library.playlist("rain")
        library.make_playlist("rain", [])
        with pytest.raises(PlaylistError, match="already"):
            library.make_playlist("rain", [])
        with pytest.raises(PlaylistError, match="1 to 200"):
            library.make_playlist(" \n", [])
        with pytest.raises(UnknownTrackError):
            library.make_playlist("snow", [999])
        with pytest.raises(UnknownPlaylistError, match="'rain'"):
            library.playlist("snow")


def test_a_library_that_may_not_be_written_has_no_playlists_to_show(library_path: Path) -> None:
    with Library(library_path) as library:
        assert library.playlists() == [] and library.likes() == [] and len(library.sources()) == 1


def test_sources_are_remembered_counted_and_forgotten(
    library_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    music = library_path.parent / "music"
    single = write_wav(library_path.parent / "music 2" / "one.wav", melody(2.0))
    with Library(library_path) as library:
        library.update([single], tiny_encoder)
        assert library.sources() == [music]  # a file is none
        assert library.count_in(music) == 8 and len(library) == 9
        assert library.forget_sources([music, single]) == 1
        assert library.sources() == [] and len(library) == 9


def test_a_library_takes_in_another_one(
    library_path: Path, tmp_path: Path, tiny_encoder: AudioEncoder, tiny_run: Path, write_wav: WriteWav
) -> None:
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean", windows=WindowConfig())
    other_path, music = tmp_path / "other.sqlite", tmp_path / "other"
    write_wav(music / "new.wav", melody(3.0, seed=9))
    shutil.copy(library_path.parent / "music" / "tune.wav", music / "copy.wav")
    with Library(other_path, space) as other, Library(library_path) as library:
        other.update([music], tiny_encoder)
        theirs = ids(other)
        other.make_playlist("both", [theirs["new"], theirs["copy"]])
        other.like([theirs["copy"]])
        library.make_playlist("both", [ids(library)["noise"]])
        named = moved([f"{music}={tmp_path / 'here'}"], other.tracks())
        for n_new, n_known in ((2, 0), (0, 2)):  # the second time changes nothing
            merged = merge_into(library, other, named)
            assert (merged.n_tracks, merged.n_known, merged.n_playlists) == (n_new, n_known, 2)
            assert titles(library, "both") == ["noise", "new", "copy"] and titles(library, LIKED) == ["copy"]
        new = library.at(tmp_path / "here" / "new.wav")
        assert new is not None and len(library.segments(new)) == len(other.segments(new))
        np.testing.assert_array_equal(library.vectors([new]), other.vectors([new]))


def test_vectors_of_two_models_are_not_merged(library_path: Path, tagged_library: Path) -> None:
    with Library(library_path) as library, Library(tagged_library) as other, pytest.raises(SpaceError):
        merge_into(library, other)
