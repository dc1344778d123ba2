"""Distillation: a large encoder, whoever trained it, teaches a small one."""

from solfa.config import override, to_dict
from solfa.objectives import LinearHeadConfig, PredictionConfig
from solfa.recipes.small import WEIGHTS, solfa_small
from solfa.targets import TeacherCodesConfig
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
