"""A trained MuQ or MERT -> a folder in the official layout, which the official programs read.

FOLDER/config.json                 settings by their official names
FOLDER/model.safetensors           weights by their official names
FOLDER/preprocessor_config.json    of MERT: its sample rate, and whether clips are standardised
FOLDER/README.md                   a card
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from solfa import checkpoint, runs
from solfa.config import Config, to_dict
from solfa.errors import SolfaError
from solfa.files import whole_folder, write_text
from solfa.json_files import write_json
from solfa.models.folders import is_saved, model_folder, read_weights
from solfa.models.loading import load
from solfa.models.published import FORMATS, writable_format
from solfa.models.published.format import Besides, WritableFormat
from solfa.models.saving import CARD, ModelCard, Shareable, card_text, is_new

READ_BY = ("model_type", "architectures", "auto_map")  # which program reads a folder: said anew


class LayoutError(SolfaError, ValueError):
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
    layout = writable_format(model)
    if layout is None:
        written = " and ".join(one.model.__name__ for one in FORMATS if isinstance(one, WritableFormat))
        raise LayoutError(
            f"{name} is a {type(model).__name__}; the official layout is written of {written}. "
            f"Pass it on in one folder with: solfa export bundle {name} --out {target}"
        )
    besides = _besides(layout, model, source)
    settings = {**layout.settings(model.config), **besides.settings}
    _refuse_loss(layout, model.config, settings)
    unused = layout.never_used(model.config, settings)
    weights = {**unused, **besides.weights, **layout.published_weights(model.state_dict())}
    with whole_folder(target) as partial:
        checkpoint.save_tensors(partial / checkpoint.WEIGHTS, weights, {"format": "pt"})
        for file, values in layout.files(model.config).items():
            write_json(partial / file, values)
        write_text(partial / CARD, _card(model, target.name, layout.reader(settings)))
        licence = {"license": model.license} if model.license else {}
        write_json(partial / checkpoint.CONFIG, settings | licence)
    return target


def _besides(layout: WritableFormat, model: Shareable, source: Path) -> Besides:
    """What the files that a model was loaded from hold besides it."""
    values = runs.read_values(source)
    if is_saved(values):
        return Besides()
    weights = read_weights(source)
    if "objective" in values:
        return layout.besides_of_run(model.config, values["objective"], weights)
    return Besides(  # they are in the official layout themselves
        {name: value for name, value in values.items() if name not in READ_BY},
        {
            name: w
            for name, w in weights.items()
            if any(re.match(pattern, name) for pattern in layout.besides)
        },
    )


def _refuse_loss(layout: WritableFormat, config: Config, settings: Mapping[str, Any]) -> None:
    """Raise LayoutError unless the official settings, read back, describe the same encoder."""
    cure = "Train with the official setting, or pass the model on with: solfa export bundle."
    try:
        ours, theirs = dict(_settings(config)), dict(_settings(layout.read_back(settings, config)))
    except ValueError as error:
        raise LayoutError(f"The official layout cannot hold this model. {error} {cure}") from None
    lost = [
        f"{name} is {ours.get(name)!r}, and there it can only be {theirs.get(name)!r}"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name) and name not in layout.unwritten
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


def _card(model: Shareable, name: str, reader: tuple[str, str]) -> str:
    program, code = reader
    return (
        card_text(model, name, ModelCard(title=f"{name}: {type(model).__name__} in the official layout"))
        + f"\nOr by the official program ({program}):\n\n```python\n{code.format(folder=name)}\n```\n"
    )
