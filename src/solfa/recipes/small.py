"""SolfaSmall: masked prediction in two steps and in one, on the processors of a laptop."""

from solfa.config import override, to_dict
from solfa.data.clips import ClipsConfig
from solfa.models import SolfaSmallConfig
from solfa.objectives import (
    GaussianGuardConfig,
    LinearHeadConfig,
    MaskedPredictionConfig,
    PooledAgreementConfig,
    PredictionConfig,
    PredictorConfig,
    SpreadSpanMaskingConfig,
    TranspositionConfig,
)
from solfa.targets import CQTRVQConfig, MelRVQConfig, ResidualKMeansConfig, StackedMelConfig
from solfa.training import MuonConfig, RunConfig, WeightAverageConfig

WEIGHTS = (1.0, 0.7, 0.5, 0.35)  # of codebooks: the coarsest counts most


def solfa_small() -> RunConfig:
    """SolfaSmall, two-step masked prediction of Mel-RVQ and CQT-RVQ codes: 5.7 M parameters, two CPU cores.

    Three quarters of the frames are hidden, and the encoder is given the others only: so it hears several
    times as much music in the same time. A predictor of two layers guesses at the others, and is thrown
    away. A pass should hold all clips of a step, as agreement compares those of a pass. Besides, states of
    clips turn with the pitch when their constant-Q half is transposed, and are kept from varying in few
    directions only. The run may end anywhere and go on (``--resume``), and is known by a mean of its weights.

    Command:  solfa train solfa_small --set data.manifest=train.jsonl --clips-per-device 32
              --set objective.predictions.0.target.fitted=runs/mel_rvq_small
              --set objective.predictions.1.target.fitted=runs/cqt_rvq_small --out runs/solfa_small
    Takes:    untested
    Reaches:  untested
    """
    mel = MelRVQConfig(frames=StackedMelConfig(level="removed"), quantizer=ResidualKMeansConfig())
    head = LinearHeadConfig(codebook_weights=WEIGHTS)
    return RunConfig(
        objective=MaskedPredictionConfig(
            encoder=SolfaSmallConfig(),
            masking=SpreadSpanMaskingConfig(),
            predictor=PredictorConfig(),
            predictions=(
                PredictionConfig(target=mel, head=head),
                # Kernels of low notes hear 0.2 s and more of what is visible beside a span.
                PredictionConfig(target=CQTRVQConfig(), head=head, weight=0.7, margin_seconds=0.2),
            ),
            agreement=PooledAgreementConfig(),
            transposition=TranspositionConfig(),
            guard=GaussianGuardConfig(),
            watched_layers=(0, 1, -1),
        ),
        data=ClipsConfig(clip_seconds=10.0, clips_per_step=32, clips_per_track=2),
        optim=MuonConfig(lr=2e-3, adam_lr=5e-4, warmup_steps=200, decay="late", weight_decay=0.05),
        average=WeightAverageConfig(recent_share=0.1),
        n_steps=12_500,
        max_gradient_norm=1.0,
        log_every=20,
        validate_every=500,
        checkpoint_every=250,
    )


def solfa_small_one_step() -> RunConfig:
    """As solfa_small, in one step and with MuQ's masks: a learned vector stands for hidden frames.

    Command:  as that of solfa_small
    Takes:    untested
    Reaches:  untested
    """
    return override(
        solfa_small(),
        {
            "objective.predictor": None,
            "objective.masking.hidden_share": 0.6,
            "objective.masking.span_seconds": [0.4],
            "objective.predictions.1.margin_seconds": 0.16,  # further in, no frame of such a span lies
        },
    )


def solfa_small_mel() -> RunConfig:
    """As solfa_small, with mel frames and Mel-RVQ codes alone, and nothing beside: what these codes teach.

    With ``--set objective.predictor=null`` in one step.

    Command:  solfa train solfa_small_mel --set data.manifest=train.jsonl --clips-per-device 32
              --set objective.predictions.0.target.fitted=runs/mel_rvq_small --out runs/solfa_small_mel
    Takes:    untested
    Reaches:  untested
    """
    run = solfa_small()
    return override(
        run,
        {
            "objective.encoder.halves": ["mel"],
            "objective.predictions": [to_dict(run.objective.predictions[0])],  # type: ignore[union-attr]
            "objective.masking.whole_share": 0.0,
            "objective.agreement": None,
            "objective.transposition": None,
            "objective.guard": None,
            "data.clips_per_track": 1,
        },
    )
