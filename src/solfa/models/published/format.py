"""Format: a layout in which models of others are published, and all that solfa knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from solfa.config import Config
from solfa.models.encoder import AudioEncoder
from solfa.models.guided_tasks import GuidedTask
from solfa.models.mulan import MuLan


@dataclass(frozen=True)
class ProbedLayer:
    """What a published probe of a checkpoint took for a task."""

    task: GuidedTask
    layer: int | None  # numbered as in HiddenStates; None: all layers, mixed by learned weights
    source: str


@dataclass(frozen=True)
class Checkpoint:
    """Published weights: their licence, about how large they are, and which layers serve which tasks."""

    licence: str
    n_bytes: int = 0  # as float32; 0 if nobody has said
    architecture: tuple[str, int, int, int] | None = None  # kind, layers, width, sample rate in Hz
    layers: tuple[ProbedLayer, ...] = ()


@dataclass(frozen=True)
class Besides:
    """What a folder in a published layout holds that is no part of the encoder."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # of its config.json
    weights: Mapping[str, Tensor] = field(default_factory=dict)  # by their published names


class Format:
    """How a published layout is recognised and read; of some also how it is written."""

    model: ClassVar[type[nn.Module]]  # of ours
    checkpoints: ClassVar[Mapping[str, Checkpoint]] = {}  # by their names on the hub
    besides: ClassVar[tuple[str, ...]] = ()  # patterns of published names that are no part of the encoder

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether a ``config.json`` is of this layout."""
        raise NotImplementedError

    def config(self, folder: Path, values: Mapping[str, Any]) -> Config:
        """Our configuration for a folder whose ``config.json`` holds ``values``.

        Raises:
            ValueError: a setting that the published weights never have and that we do not build.
        """
        raise NotImplementedError

    def weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published tensors under our names and in our shapes.

        Raises:
            ValueError: names that no published model of this layout has, all of them listed.
        """
        raise NotImplementedError

    def build(
        self, config: Config, licence: str, folder: Path, weights: Mapping[str, Tensor]
    ) -> AudioEncoder | MuLan:
        """The model that ``config`` describes, without the weights of the folder."""
        raise NotImplementedError


class WritableFormat(Format):
    """A layout in which models of ours can be passed on to the program that it is of."""

    unwritten: ClassVar[tuple[str, ...]] = (
        "default_layer",
    )  # settings of ours on which no hidden state depends

    def settings(self, config: Any) -> dict[str, Any]:
        """The ``config.json`` of a model of ours."""
        raise NotImplementedError

    def files(self, config: Any) -> dict[str, dict[str, Any]]:
        """Other JSON files of the layout, by name."""
        return {}

    def read_back(self, settings: Mapping[str, Any], config: Any) -> Config:
        """Our configuration for what ``settings`` and ``files`` have written."""
        raise NotImplementedError

    def published_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under their published names and in their shapes."""
        raise NotImplementedError

    def never_used(self, config: Any, settings: Mapping[str, Any]) -> dict[str, Tensor]:
        """Tensors that the official program wants to find, and on which no hidden state depends."""
        return {}

    def besides_of_run(
        self, config: Any, objective: Mapping[str, Any], weights: Mapping[str, Tensor]
    ) -> Besides:
        """What a run trained or used besides its encoder, as far as the layout has a place for it."""
        raise NotImplementedError

    def reader(self, settings: Mapping[str, Any]) -> tuple[str, str]:
        """The official program, and code that reads a folder called ``{folder}`` with it."""
        raise NotImplementedError
