"""A trained MuQ or MERT -> a folder in the official layout, which the official programs read.

FOLDER/config.json                 settings by their official names
FOLDER/model.safetensors           weights by their official names
FOLDER/preprocessor_config.json    of MERT: its sample rate, and whether clips are standardised
FOLDER/README.md                   a card
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa import checkpoint
from solfa.config import Config, to_dict
from solfa.files import whole_folder, write_text
from solfa.json_files import write_json
from solfa.models.loading import PREPROCESSOR, load, model_folder, read_weights
from solfa.models.mert import MERT
from solfa.models.muq import MuQ
from solfa.models.official_muq import muq_besides_of_run, never_used
from solfa.models.published import MUQ_BESIDES, Besides, muq_config, muq_settings, published_muq_weights
from solfa.models.published_mert import (
    MERT_BESIDES,
    mert_config,
    mert_preprocessor,
    mert_settings,
    published_mert_weights,
)
from solfa.models.sharing import CARD, ModelCard, card_text, is_new, is_saved

# Settings of ours without an official name; no hidden state depends on them.
OURS_ALONE = ("default_layer", "transformer.attention_relax")
READ_BY = ("model_type", "architectures", "auto_map")  # which program reads a folder: said anew
MASK_TIME_PROB = 0.05  # of the published files: how much is hidden in fine-tuning, not in pre-training
READ_BY_MUQ = 'from muq import MuQ\n\nmodel = MuQ.from_pretrained("{folder}").eval()'
READ_BY_HUBERT = 'from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained("{folder}").eval()'
READ_BY_MERT = READ_BY_HUBERT.replace('")', '", trust_remote_code=True)')


class LayoutError(ValueError):
    """A model that the official layout cannot hold; the message says what and why."""


def save_official(name: str | Path, folder: str | Path) -> Path:
    """Write a MuQ or MERT as the official programs read it, and ``solfa.load`` too.

    What the run has besides the encoder goes along where the layout has a place for it: of MuQ the head, the
    quantizer and the masking, of MERT the vector that hides frames. What is left of the official names gets
    values that nothing depends on.

    Args:
        name: a run folder or whatever else ``solfa.load`` takes.
        folder: to be filled; new or empty.

    Raises:
        LayoutError: settings that the official programs would not follow, or another model.
        FileExistsError: the folder holds something.
        WriteError: the disk is full or does not take the files; nothing of them is left.
        ModelError: the model cannot be loaded.
    """
    target = Path(folder)
    if not is_new(target):
        raise FileExistsError(f"{target} is not empty. Give a new folder.")
    source = model_folder(name)
    model = load(name)
    match model:
        case MuQ():
            settings, weights = _muq(model, _besides(model, source))
        case MERT():
            settings, weights = _mert(model, _besides(model, source))
        case _:
            raise LayoutError(
                f"{name} is a {type(model).__name__}; the official layout is written of MuQ and MERT. "
                f"Pass it on in one folder with: solfa export bundle {name} --out {target}"
            )
    with whole_folder(target) as partial:
        checkpoint.save_tensors(partial / checkpoint.WEIGHTS, weights, {"format": "pt"})
        if isinstance(model, MERT):
            write_json(partial / PREPROCESSOR, mert_preprocessor(model.config))
        write_text(partial / CARD, _card(model, target.name, settings))
        licence = {"license": model.license} if model.license else {}
        write_json(partial / checkpoint.CONFIG, settings | licence)
    return target


def _muq(model: MuQ, besides: Besides) -> tuple[dict[str, Any], dict[str, Tensor]]:
    settings = {**muq_settings(model.config), **besides.settings}
    _refuse_loss(model.config, lambda: muq_config(settings))
    unused = never_used(model.config, settings)
    return settings, {**unused, **besides.weights, **published_muq_weights(model.state_dict())}


def _mert(model: MERT, besides: Besides) -> tuple[dict[str, Any], dict[str, Tensor]]:
    settings = {**mert_settings(model.config), **besides.settings}
    _refuse_loss(model.config, lambda: mert_config(settings, mert_preprocessor(model.config)))
    return settings, {**besides.weights, **published_mert_weights(model.state_dict())}


def _besides(model: MuQ | MERT, source: Path) -> Besides:
    """What the files that a model was loaded from hold besides it."""
    values = checkpoint.read_values(source)
    if is_saved(values):
        return Besides()
    weights = read_weights(source)
    if "objective" not in values:  # they are in the official layout themselves
        patterns = MUQ_BESIDES if isinstance(model, MuQ) else MERT_BESIDES
        return Besides(
            {name: value for name, value in values.items() if name not in READ_BY},
            {name: w for name, w in weights.items() if any(re.match(pattern, name) for pattern in patterns)},
        )
    if isinstance(model, MuQ):
        return muq_besides_of_run(model.config, values["objective"], weights)
    return _mert_besides_of_run(weights)


def _mert_besides_of_run(weights: Mapping[str, Tensor]) -> Besides:
    vector = weights.get("masking.vector")
    if vector is None:
        return Besides()
    return Besides({"mask_time_prob": MASK_TIME_PROB}, {"masked_spec_embed": vector})


def _refuse_loss(config: Config, read_back: Callable[[], Config]) -> None:
    """Raise LayoutError unless the official settings, read back, describe the same encoder."""
    cure = "Train with the official setting, or pass the model on with: solfa export bundle."
    try:
        ours, theirs = dict(_settings(config)), dict(_settings(read_back()))
    except ValueError as error:
        raise LayoutError(f"The official layout cannot hold this model. {error} {cure}") from None
    lost = [
        f"{name} is {ours.get(name)!r}, and there it can only be {theirs.get(name)!r}"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name) and name not in OURS_ALONE
    ]
    if lost:
        raise LayoutError(f"The official layout cannot hold this model: {'; '.join(lost)}. {cure}")


def _settings(config: Config) -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""

    def below(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from below(f"{name}.{key}" if name else key, inner)
        else:
            yield name, value

    return below("", to_dict(config))


def _card(model: MuQ | MERT, name: str, settings: Mapping[str, Any]) -> str:
    program, code = "muq 0.1.0", READ_BY_MUQ
    if isinstance(model, MERT):
        is_hubert = settings.get("model_type") == "hubert"
        program, code = ("transformers", READ_BY_HUBERT) if is_hubert else ("MERT's own", READ_BY_MERT)
    return (
        card_text(model, name, ModelCard(title=f"{name}: {type(model).__name__} in the official layout"))
        + f"\nOr by the official program ({program}):\n\n```python\n{code.format(folder=name)}\n```\n"
    )
