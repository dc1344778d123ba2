"""Published names of weights -> our names, one table per model, read in both directions."""

import itertools
import re
from collections.abc import Mapping

from torch import Tensor

from solfa.errors import ArgumentError

# Published name -> ours. One that ends in a dot stands for all that begin with it, and a star for a part of a
# name, such as a number, that is the same on both sides.
Names = tuple[tuple[str, str], ...]


def inverted(names: Names) -> Names:
    """Our names -> published ones; of two published spellings the first counts."""
    return tuple((ours, published) for published, ours in names)


def renamed(
    weights: Mapping[str, Tensor], names: Names, besides: tuple[str, ...], kind: str
) -> dict[str, Tensor]:
    """Tensors under their other names.

    Args:
        weights: tensors by name.
        names: the names that are known -> the other ones; the first that fits counts.
        besides: patterns of known names that are left out.
        kind: of the model, for the message.

    Raises:
        ValueError: names that fit nothing, all of them listed.
    """
    rules = [_rule(name, other) for name, other in names]
    found, unknown = {}, []
    for name, tensor in weights.items():
        if any(re.match(pattern, name) for pattern in besides):
            continue
        other = next((rule.sub(other, name) for rule, other in rules if rule.match(name)), None)
        if other is None:
            unknown.append(name)
        else:
            found[other] = tensor
    if unknown:
        raise ArgumentError(f"These names are not of a {kind} model: {', '.join(sorted(unknown))}.")
    return found


def _rule(name: str, other: str) -> tuple[re.Pattern[str], str]:
    """A line of a table as a pattern, and what replaces it: ``a.*.`` as ``^a\\.(\\w+)\\.``."""
    pattern = "^" + re.escape(name).replace(r"\*", r"(\w+)") + ("" if name.endswith(".") else "$")
    number = itertools.count(1)
    return re.compile(pattern), re.sub(r"\*", lambda _: rf"\g<{next(number)}>", other)
