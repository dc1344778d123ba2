"""TeacherCodes: layers are whitened and count alike, on the grid of the encoder that learns."""

from dataclasses import replace

import pytest
import torch

from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.data.stored_teachers import ClipTeaching, ColumnsConfig, TeacherDescription
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid
from solfa.objectives.residual_kmeans_fit import fit_residual_kmeans
from solfa.targets import (
    ResidualKMeansConfig,
    TargetError,
    TaughtPartConfig,
    TeacherCodes,
    TeacherCodesConfig,
)
from solfa.targets.teacher import on_grid

GRID, TRIPLE, HALF = (FrameGrid(24_000, hop) for hop in (960, 320, 1920))
CONFIG = TeacherCodesConfig(
    n_layers=2, layer_dim=6, n_directions=4,
    quantizer=ResidualKMeansConfig(dim=8, n_codebooks=2, codebook_size=16),
)  # fmt: skip


def clips(source: str = "encoder x layer 2, 4", dim: int = 12, grid: FrameGrid = GRID) -> Clips:
    """The second layer is a thousand times as loud as the first, and one dimension goes with another."""
    values = torch.randn(8, 150, dim, generator=torch.Generator().manual_seed(0))
    values[..., 1] += values[..., 0]
    values[..., 6:] *= 1e3
    none = torch.zeros(8, dtype=torch.long)
    return Clips(torch.zeros(8, 0), 24_000, none, none, hidden=ClipStates(values + 5, grid, source))


def fitted() -> TeacherCodes:
    target = TeacherCodes(CONFIG).eval()
    target.fit_statistics(clips())
    fit_residual_kmeans(target.quantizer, target.frames_to_quantize(clips()).flatten(0, 1), seed=0)
    return target


def test_directions_of_all_layers_vary_alike_and_none_goes_with_another_of_its_layer() -> None:
    rows = fitted().frames_to_quantize(clips()).flatten(0, 1)
    torch.testing.assert_close(rows.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    for layer in rows.unflatten(1, (2, 4)).unbind(1):
        torch.testing.assert_close(layer.T @ layer / len(layer), torch.eye(4), atol=1e-3, rtol=0)


def test_directions_kept_are_those_in_which_a_layer_varies_most() -> None:
    given = clips()
    assert given.hidden is not None
    given.hidden.values[..., 2] *= 100
    target = TeacherCodes(CONFIG)
    target.fit_statistics(given)
    strongest = target.directions[0, :, 0]
    assert strongest.abs().argmax() == 2
    assert strongest[2].abs() > 50 * strongest[[0, 1, 3, 4, 5]].abs().max()


def test_a_direction_in_which_nothing_varies_says_nothing() -> None:
    given = clips()
    assert given.hidden is not None
    given.hidden.values[..., 2:6] = 3.0
    target = TeacherCodes(CONFIG)
    target.fit_statistics(given)
    frames = target.frames_to_quantize(given)
    assert torch.isfinite(frames).all() and not frames[..., 2:4].any() and frames[..., :2].any()


def test_what_was_fitted_is_kept_in_the_weights() -> None:
    fresh = TeacherCodes(CONFIG)
    fresh.load_state_dict(fitted().state_dict())
    codes = fresh(clips()).values
    assert torch.equal(codes, fitted()(clips()).values) and codes.shape == (8, 2, 150)
    assert all(len(book.unique()) == 16 for book in codes.unbind(1))


def test_codes_know_how_far_the_others_lie() -> None:
    codes = fitted()(clips())
    assert codes.origin is not None
    mask = torch.zeros(8, 150, dtype=torch.bool)
    mask[3, 7] = True
    assert torch.equal(codes.origin.distances_of(mask).argmin(-1)[0], codes.values[3, :, 7])


def test_faster_frames_are_averaged_and_slower_ones_repeated() -> None:
    frames = torch.arange(8.0)[None, :, None]
    assert on_grid(frames, TRIPLE, GRID).flatten().tolist() == [1.0, 4.0, 6.5]  # the last mean is of two
    assert on_grid(frames[:, :2], HALF, GRID).flatten().tolist() == [0.0, 0.0, 1.0, 1.0]
    assert on_grid(frames, GRID, GRID) is frames


@pytest.mark.parametrize("given", [FrameGrid(24_000, 480 + 160), FrameGrid(16_000, 640)])
def test_frames_that_do_not_fit_are_refused(given: FrameGrid) -> None:
    with pytest.raises(TargetError, match=r"no whole number.*Choose another teacher"):
        on_grid(torch.zeros(1, 6, 1), given, GRID)


@pytest.mark.parametrize("source", ["encoder x layer 2, 3", "encoder y layer 2, 4"])
def test_frames_of_another_teacher_or_layers_are_refused(source: str) -> None:
    with pytest.raises(TargetError, match=rf"{source}.*Name the same teacher again"):
        fitted()(clips(source))


def test_frames_of_another_width_or_none_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"10 wide.*2 layers of 6.*Leave n_layers"):
        fitted()(clips(dim=10))
    with pytest.raises(TargetError, match=r"objective\.teacher=MODEL.*data\.teacher=HIDDEN"):
        fitted()(replace(clips(), hidden=None))


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"make quantizer\.dim 6"):
        TeacherCodes(replace(CONFIG, n_directions=3))


JOINT = TeacherCodesConfig(
    parts=(
        TaughtPartConfig(teacher="tagger", column="tags", width=6, n_directions=4),
        TaughtPartConfig(teacher="listener", column="notes", width=3, n_directions=2, weight=0.5),
    ),
    quantizer=ResidualKMeansConfig(dim=6, n_codebooks=2, codebook_size=16),
)


def taught(fingerprint: str = "f") -> Clips:
    """What two teachers say: one of a thousand times the size, one of seven columns of which three count."""
    random, widths = (
        torch.Generator().manual_seed(1),
        {"tagger": {"tags": 6}, "listener": {"x": 4, "notes": 3}},
    )
    said = {}
    for name, columns in widths.items():
        values = torch.randn(8, 150, sum(columns.values()), generator=random)
        described = TeacherDescription(
            name=name, license="MIT", fingerprint=fingerprint, numbers="float16",
            columns=tuple(ColumnsConfig(name=n, width=w, form="vector") for n, w in columns.items()),
        )  # fmt: skip
        said[name] = ClipTeaching(values * (1e3 if name == "tagger" else 1.0), described)
    none = torch.zeros(8, dtype=torch.long)
    return Clips(torch.zeros(8, 0), 24_000, none, none, taught=said)


def joint(config: TeacherCodesConfig = JOINT) -> TeacherCodes:
    target = TeacherCodes(config).eval()
    target.fit_statistics(taught())
    fit_residual_kmeans(target.quantizer, target.frames_to_quantize(taught()).flatten(0, 1), seed=0)
    return target


def test_parts_of_several_teachers_vary_by_their_weights() -> None:
    rows = joint().frames_to_quantize(taught()).flatten(0, 1)
    variances = rows.var(0, unbiased=False)
    torch.testing.assert_close(variances, torch.tensor([0.25] * 4 + [0.25] * 2), atol=1e-3, rtol=0)
    target = joint()
    assert target(taught()).values.shape == (8, 2, 150) and not target.mean[1, 3:].any()


def test_directions_beyond_the_stated_share_of_the_variance_say_nothing() -> None:
    given = taught()
    given.taught["tagger"].values[..., 0] *= 10  # holds 95 of 100 parts
    target = TeacherCodes(replace(JOINT, variance_share=0.9))
    target.fit_statistics(given)
    rows = target.frames_to_quantize(given).flatten(0, 1)
    assert rows.var(0, unbiased=False)[:4] == pytest.approx([1.0, 0, 0, 0], abs=1e-3)


def test_joint_codes_are_kept_in_the_weights_and_know_their_teachers() -> None:
    fresh = TeacherCodes(JOINT)
    fresh.load_state_dict(joint().state_dict())
    assert torch.equal(fresh(taught()).values, joint()(taught()).values)
    with pytest.raises(TargetError, match="Name the same teacher again"):
        fresh(taught("another"))


def test_teachers_that_are_missing_or_silent_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match="solfa data teach MANIFEST --teacher tagger"):
        TeacherCodes(JOINT).fit_statistics(replace(taught(), taught={}))
    silent = taught()
    silent.taught["listener"].values[2, 5:] = float("nan")
    with pytest.raises(TargetError, match="such as labels"):
        TeacherCodes(JOINT).fit_statistics(silent)
