"""Lessons: each kind of answer, clips of which nothing is said, and running means that make losses alike."""

import math

import pytest
import torch
from torch import Tensor

from solfa.data.stored_teachers import ClipTeaching, ColumnsConfig, TeacherDescription
from solfa.errors import ArgumentError
from solfa.objectives import (
    ClipClassConfig,
    ClipTagsConfig,
    ClipVectorConfig,
    FrameClassConfig,
    FrameTagsConfig,
)
from solfa.objectives.lessons import AnyLessonConfig, Lessons, softened
from solfa.targets import TargetError

NAN = float("nan")
DIM, FRAMES = 8, 10


def taught(values: Tensor, teacher: str = "t", form: str = "probability") -> dict[str, ClipTeaching]:
    columns = (ColumnsConfig(name="x", width=values.shape[2], form=form),)
    described = TeacherDescription(
        name=teacher, license="MIT", fingerprint="f", numbers="float16", columns=columns
    )
    return {teacher: ClipTeaching(values, described)}


def layers(n_clips: int, value: float = 0.0) -> tuple[Tensor, ...]:
    return tuple(torch.full((n_clips, FRAMES, DIM), value) for _ in range(3))


def silent(config: AnyLessonConfig) -> Lessons:
    """Lessons whose answers are all zero."""
    lessons = Lessons((config,), DIM)
    for parameter in lessons.parameters():
        torch.nn.init.zeros_(parameter)
    return lessons


def losses(config: AnyLessonConfig, values: Tensor) -> list[float]:
    [said] = silent(config)(layers(len(values)), taught(values))
    return said.raw.tolist()


def filled(*clips: float, width: int = 1) -> Tensor:
    return torch.tensor(clips)[:, None, None].expand(-1, FRAMES, width).clone()


def test_answers_that_know_nothing_cost_what_chance_costs() -> None:
    of_tags = ClipTagsConfig(teachers=("t",), column="x", width=3)
    assert losses(of_tags, filled(1.0, 0.5, 0.0, width=3)) == pytest.approx([math.log(2)] * 3)
    of_frames = FrameTagsConfig(teachers=("t",), column="x", width=3)
    assert losses(of_frames, filled(1.0, 0.0, width=3)) == pytest.approx([math.log(2)] * 2)
    for kind in (ClipClassConfig, FrameClassConfig):
        config = kind(teachers=("t",), column="x", width=5)
        assert losses(config, filled(0.0, 4.0)) == pytest.approx([math.log(5)] * 2)
    of_vectors = ClipVectorConfig(teachers=("t",), column="x", width=3)
    assert losses(of_vectors, filled(1.0, -2.0, width=3)) == pytest.approx([1.0] * 2)


@pytest.mark.parametrize("kind", [ClipVectorConfig, ClipTagsConfig, FrameTagsConfig])
def test_clips_of_which_nothing_is_said_cost_nothing_and_leave_no_trace(kind: type[AnyLessonConfig]) -> None:
    lessons = Lessons((kind(teachers=("t",), column="x", width=3),), DIM)
    values = filled(NAN, 0.7, width=3)
    [answer] = lessons(layers(2, 0.3), taught(values))
    scaled, said = answer.scaled, answer.raw
    assert said[0] == 0 and said[1] > 0 and scaled.isfinite().all()
    scaled.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in lessons.parameters())
    lessons.finish_step()
    assert lessons.means.item() == pytest.approx(float(said[1]))  # of the one that is known


def test_frames_of_which_nothing_is_said_do_not_count() -> None:
    values = filled(1.0, 1.0)
    values[1, 3:] = NAN
    assert losses(FrameTagsConfig(teachers=("t",), column="x", width=1), values) == pytest.approx(
        [math.log(2)] * 2
    )
    values = filled(2.0, 2.0)
    values[1, 3:] = NAN
    assert losses(FrameClassConfig(teachers=("t",), column="x", width=4), values) == pytest.approx(
        [math.log(4)] * 2
    )


def test_a_clip_that_changes_its_key_has_no_class() -> None:
    values = filled(3.0, 3.0, 3.0)
    values[1, 5:] = 4
    values[2, 5:] = NAN
    said = losses(ClipClassConfig(teachers=("t",), column="x", width=24), values)
    assert said == pytest.approx([math.log(24), 0, math.log(24)])


def test_the_first_teacher_that_knows_a_clip_is_believed() -> None:
    config = ClipTagsConfig(teachers=("labels", "t"), column="x", width=1)
    both = taught(filled(NAN, 1.0), "labels") | taught(filled(0.25, 0.25))
    [lesson] = Lessons((config,), DIM).lessons
    assert lesson.said(both)[:, 0, 0].tolist() == [0.25, 1.0]


def test_an_instrument_that_sounds_somewhere_is_in_the_clip() -> None:
    values = filled(0.0)
    values[0, 4] = 1
    config = ClipTagsConfig(teachers=("t",), column="x", width=1, pooled="most")
    lessons = silent(config)
    lessons.lessons[0].linear.bias.data.fill_(20.0)  # sure that it is
    [said] = lessons(layers(1), taught(values))
    assert said.raw.item() < 1e-6


def test_beats_are_softened_by_half_on_both_sides() -> None:
    beats = torch.zeros(1, 7, 1)
    beats[0, 3] = 1
    assert softened(beats, 1).flatten().tolist() == [0, 0, 0.5, 1, 0.5, 0, 0]
    assert softened(beats, 0) is beats


def test_vectors_are_compared_by_mean_and_deviation_of_the_first_clips() -> None:
    config = ClipVectorConfig(teachers=("t",), column="x", width=2)
    lessons = Lessons((config,), DIM)
    first = torch.tensor([[101.0, 3.0], [99.0, 5.0], [NAN, NAN]])[:, None].expand(-1, FRAMES, -1)
    lessons.fit(taught(first))
    [lesson] = lessons.lessons
    assert lesson.mean.tolist() == [100, 4] and lesson.deviation.tolist() == [1, 1]
    lesson.linear.weight.data.zero_()
    lesson.linear.bias.data = torch.tensor([1.0, -1.0])
    [said] = lessons(layers(2), taught(first[:2]))
    assert said.raw.tolist() == pytest.approx([0.0, 2.0], abs=1e-5)


def test_losses_are_divided_by_their_running_means_and_weigh_what_is_said() -> None:
    configs = tuple(
        FrameClassConfig(teachers=("t",), column="x", width=width, weight=weight)
        for width, weight in ((5, 1.0), (500, 0.5))
    )
    lessons = Lessons(configs, DIM)
    for parameter in lessons.parameters():
        torch.nn.init.zeros_(parameter)
    given = layers(2), taught(filled(1.0, 2.0))
    assert [one.scaled.mean().item() for one in lessons(*given)] == pytest.approx(
        [math.log(5), math.log(500) / 2]
    )
    lessons.finish_step()
    assert lessons.means.tolist() == pytest.approx([math.log(5), math.log(500)])
    assert [one.scaled.tolist() for one in lessons(*given)] == [pytest.approx([w, w]) for w in (1.0, 0.5)]
    lessons.lessons[0].linear.bias.data[1] = 50.0  # sure of the class of the first clip alone
    raw = lessons(*given)[0].raw.mean().item()
    lessons.finish_step()  # of the two passes since the last
    now = (math.log(5) + raw) / 2
    assert lessons.means[0].item() == pytest.approx(0.98 * math.log(5) + 0.02 * now, rel=1e-5)


def test_running_means_stay_where_nothing_was_said_and_in_validation() -> None:
    lessons = silent(ClipTagsConfig(teachers=("t",), column="x", width=1))
    lessons(layers(1), taught(filled(1.0)))
    lessons.finish_step()
    before = lessons.means.clone()
    lessons(layers(1), taught(filled(NAN)))
    lessons.finish_step()
    lessons(layers(1, torch.inf), taught(filled(1.0)))  # overflowed
    lessons.finish_step()
    lessons.eval()
    lessons.lessons[0].linear.bias.data.fill_(-9.0)
    lessons(layers(1), taught(filled(1.0)))
    lessons.finish_step()
    assert torch.equal(lessons.means, before) and before.item() == pytest.approx(math.log(2))


def test_a_batch_without_whole_clips_has_gradients_of_zero() -> None:
    lessons = Lessons((FrameTagsConfig(teachers=("t",), column="x", width=1),), DIM)
    [said] = lessons(layers(0), taught(filled()))
    said.scaled.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in lessons.parameters())


def test_what_does_not_fit_is_refused_with_the_cure() -> None:
    lessons = Lessons((ClipTagsConfig(teachers=("nobody",), column="x", width=2),), DIM)
    with pytest.raises(TargetError, match="solfa data teach MANIFEST --teacher nobody"):
        lessons(layers(1), taught(filled(1.0)))
    lessons = Lessons((ClipTagsConfig(teachers=("t",), column="x", width=2),), DIM)
    with pytest.raises(TargetError, match="Make its width agree"):
        lessons(layers(1), taught(filled(1.0)))
    lessons = Lessons((FrameClassConfig(teachers=("t",), column="x", width=2),), DIM)
    with pytest.raises(TargetError, match="Raise width"):
        lessons(layers(1), taught(filled(2.0)))
    with pytest.raises(ArgumentError, match=r"objective\.lessons"):
        Lessons((), DIM)
