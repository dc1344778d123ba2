import json
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.data.audio import write_audio
from solfa.data.captioning import caption_tracks
from solfa.data.manifest import Track, read_manifest
from solfa.data.prepare import prepare_folder
from solfa.embedding.hearing import EXCERPTS, NUMBERS, REFUSED, ExcerptsConfig, Listener, hear_tracks
from solfa.errors import ArgumentError
from solfa.models.musicnn import MusiCNN, MusiCNNConfig
from synth import clicks, noise, pitch_hz, tone

RATE = 24_000


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[Track]:
    folder = tmp_path_factory.mktemp("music")
    for number in range(4):
        music = tone(pitch_hz(50 + 7 * number), 20.0) + clicks(60 + 40 * number, 20.0)
        rest = np.zeros(8 * RATE if number == 3 else 0, np.float32)
        loud = 0.4 * 10 ** (-number / 2) * music
        write_audio(folder / f"calm-{number}.wav", np.concatenate([loud, rest]).astype(np.float32), RATE)
    return sorted(prepare_folder(folder).tracks, key=lambda track: track.path.name)


@pytest.fixture(scope="module")
def listener() -> Listener:
    torch.manual_seed(0)
    tags = ("rock", "piano", "vocals")
    return Listener({"MTT_musicnn": MusiCNN(MusiCNNConfig(n_tags=len(tags)), tags)})


def test_excerpts_are_a_manifest_with_facts_and_silence_is_left_out(
    tracks: list[Track], listener: Listener, tmp_path: Path
) -> None:
    heard = hear_tracks(tracks, tmp_path, listener, config=ExcerptsConfig(4.0, 2.0))
    assert not heard.refused and heard.n_silent == 3
    read = read_manifest(tmp_path / EXCERPTS)
    assert [(t.path, t.start_seconds, t.seconds) for t in read] == [
        (track.path, 2.0 * k, 4.0) for track in tracks for k in range(9 + (track is tracks[3]))
    ]
    assert any(t.tags.get("loudness") == "soft" for t in read[28:])
    captioned = caption_tracks(read, only=("loudness", "brightness"), n_captions=20)
    said = " ".join(text for t in captioned.tracks for text in t.captions).lower()
    assert "soft" in said and "calm" not in said  # the file's name is not heard


def test_what_was_heard_is_not_heard_again(tracks: list[Track], listener: Listener, tmp_path: Path) -> None:
    config = ExcerptsConfig(4.0, 2.0)
    first = hear_tracks(tracks[:3], tmp_path, listener, config=config).excerpts
    lines = (tmp_path / NUMBERS).read_bytes()
    (tmp_path / NUMBERS).write_bytes(lines[: lines.rfind(b"\n", 0, -1) + 40])  # killed in its third line
    heard: list[str] = []
    counting = copy(listener)
    counting.hear = lambda waveform: heard.append("") or listener.hear(waveform)  # type: ignore[func-returns-value, method-assign]
    assert hear_tracks(tracks[:3], tmp_path, counting, config=config).excerpts == first
    assert len(heard) == 9 and (tmp_path / NUMBERS).read_bytes() == lines


def test_a_track_of_which_the_beginning_was_heard_is_heard_to_its_end(
    tracks: list[Track], listener: Listener, tmp_path: Path
) -> None:
    config = ExcerptsConfig(4.0, 2.0)
    beginning = replace(tracks[0], seconds=8.0)
    assert len(hear_tracks([beginning, *tracks[1:]], tmp_path, listener, config=config).excerpts) == 31
    assert len(hear_tracks(tracks, tmp_path, listener, config=config).excerpts) == 37


def test_a_file_that_cannot_be_read_is_refused_and_the_rest_goes_on(
    tracks: list[Track], listener: Listener, tmp_path: Path
) -> None:
    gone = replace(tracks[0], path=tmp_path / "gone.wav", content_hash="0")
    heard = hear_tracks([gone, *tracks[:3]], tmp_path, listener, config=ExcerptsConfig(4.0, 2.0))
    assert [r.path for r in heard.refused] == [gone.path] and len(heard.excerpts) == 27
    assert json.loads((tmp_path / REFUSED).read_text().splitlines()[0])["path"]


def test_other_excerpts_want_another_folder(tracks: list[Track], listener: Listener, tmp_path: Path) -> None:
    hear_tracks(tracks[:3], tmp_path, listener, config=ExcerptsConfig(4.0, 2.0))
    with pytest.raises(ArgumentError, match="every 2 s"):
        hear_tracks(tracks[:3], tmp_path, listener, config=ExcerptsConfig(5.0, 2.0))
    with pytest.raises(
        ArgumentError, match=r"holds what MTT_musicnn said.*no tagger is asked now.*another folder"
    ):
        hear_tracks(tracks[:3], tmp_path, Listener({}), config=ExcerptsConfig(4.0, 2.0))
    with pytest.raises(ArgumentError, match="at least 3 s"):
        ExcerptsConfig(1.0)


def test_noise_is_heard_without_taggers_too() -> None:
    heard = Listener({}).hear(noise(4.0))
    assert heard is not None and not heard.tags
