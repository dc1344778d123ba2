"""SentenceStore: what a frozen language model says of texts, kept in a folder from one training to the next.

    DIR/language.json    of which language model
    DIR/texts.jsonl      a line for each text, and its row
    DIR/vectors.npy      float32 (row width)

A row is on the disk before the line that names it; what a killed run left half written, the next cuts off.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.arrays import ArrayError, GrowingArray, mapped
from solfa.errors import ArgumentError
from solfa.files import FolderLock
from solfa.json_files import append_lines, mend_lines, read_json_object, read_lines, write_json
from solfa.models import TextModel
from solfa.models.fingerprint import bytes_of

LANGUAGE, TEXTS, VECTORS = "language.json", "texts.jsonl", "vectors.npy"


class SentenceStore:
    """A folder of sentence vectors of one language model.

    Args:
        folder: made if it is not there.
        language: the model.

    Raises:
        ArgumentError: the folder holds vectors of another model, or is damaged.
    """

    def __init__(self, folder: Path, language: TextModel) -> None:
        self.folder, self.width = folder, language.dim
        description = {"language": language_hash(language), "width": language.dim}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / LANGUAGE).exists() and read_json_object(folder / LANGUAGE) != description:
            raise ArgumentError(
                f"{folder} holds sentences of another language model. Name another folder: "
                "--set objective.sentences=FOLDER"
            )
        write_json(folder / LANGUAGE, description)
        mend_lines(folder / TEXTS)

    def read(self) -> dict[str, Float[Tensor, "1 width"]]:
        """All that is known. Raises ArgumentError if the folder is damaged."""
        rows = read_lines(self.folder / TEXTS)
        if not rows:
            return {}
        try:
            vectors = np.array(mapped(self.folder / VECTORS, (self.width,), "float32"))
            return {str(row["text"]): torch.from_numpy(vectors[int(row["row"])][None]) for row in rows}
        except (ArrayError, OSError, IndexError) as error:
            raise ArgumentError(f"{self.folder} is damaged: {error}. Remove it; it is made again.") from None

    def add(self, vectors: Mapping[str, Float[Tensor, "1 width"]]) -> None:
        """Keep vectors of some texts; none of them if another training is writing at this moment."""
        with suppress(BlockingIOError), FolderLock(self.folder):
            known = {row["text"]: row["row"] for row in read_lines(self.folder / TEXTS)}
            new = [text for text in vectors if text not in known]
            if not new:
                return
            n_rows = max(known.values(), default=-1) + 1
            array = GrowingArray(self.folder / VECTORS, (self.width,), n_rows)
            try:
                first = array.append(torch.cat([vectors[text] for text in new]).numpy())
                array.flush()
            finally:
                array.close()
            append_lines(self.folder / TEXTS, [{"text": t, "row": first + n} for n, t in enumerate(new)])


def language_hash(language: TextModel) -> str:
    """SHA-256 of a language model: its kind, the name of its folder, and its weights."""
    digest = hashlib.sha256(f"{type(language).__name__} {language.folder.name}".encode())
    for name, tensor in sorted(language.state_dict().items()):
        digest.update(name.encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()
