"""MERT-v2 behind the call style of the program that it was published with."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa.compat.originals import ByNameAndPosition, Original, lengths_of
from solfa.models.input import Layers, Waveform
from solfa.models.mert2 import MERT2


@dataclass(frozen=True, eq=False)
class MERT2Output(ByNameAndPosition):
    """What MERT-v2 answers."""

    last_hidden_state: Float[Tensor, "clip frame dim"]
    hidden_states: tuple[Float[Tensor, "clip frame dim"], ...] | None = (
        None  # of the blocks; None: not asked for
    )
    feature_attention_mask: Int[Tensor, "clip frame"] | None = None  # 1: audio, 0: padding


torch.export.register_dataclass(MERT2Output, serialized_type_name="solfa.MERT2Output")


class MERT2Model(Original[MERT2]):
    """MERT-v2, called as transformers calls it; its feature extractor leaves the waveform as it is."""

    kind = MERT2

    def forward(
        self,
        input_values: Waveform,
        attention_mask: Any = None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        *,
        layers: Layers | None = None,
    ) -> MERT2Output | tuple[Any, ...]:
        """Hidden states of clips; a plain tuple of them if ``return_dict`` is False.

        Args:
            input_values: (clip, sample): mono, in [-1, 1], at 24 kHz; a tensor or an array.
            attention_mask: (clip sample), 1 where there is audio and 0 in the padding after it. A clip then
                has the features that it has alone, and zeros in the padding.
            output_hidden_states: whether to give the states of all blocks. The first is that of block 1, as
                in the original.
            return_dict: whether the parts of the answer have names.
            layers: which the original does not know: only these, as for ``AudioEncoder``; the last one that
                is named is then the last hidden state.

        Raises:
            ValueError: a mask that is not 1 first and 0 after, or a waveform that ``AudioEncoder`` refuses.
        """
        hidden = self.model(input_values, lengths_of(attention_mask, input_values), layers)
        states = hidden.states[1:] if layers is None else hidden.states
        output = MERT2Output(
            hidden.last, tuple(states) if output_hidden_states else None, (~hidden.padding).int()
        )
        return output if return_dict else output.to_tuple()
