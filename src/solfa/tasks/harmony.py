"""Names of keys and chords as numbers: 24 keys, 25 chords; parsed by mir_eval."""

import mir_eval

from solfa.errors import ArgumentError

TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
CHORDS = (*(f"{tonic}:{quality}" for quality in ("maj", "min") for tonic in TONICS), "N")

_MODES = {"major": 0, "maj": 0, "minor": 12, "min": 12}
_MAJOR, _MINOR = (mir_eval.chord.QUALITIES[name] for name in ("maj", "min"))


def key_number(name: str) -> int:
    """Place in ``KEYS`` of a key such as "D# minor"; enharmonics are one. Raises ValueError if it is none."""
    tonic, _, mode = name.strip().replace("\t", " ").partition(" ")
    semitone = mir_eval.key.KEY_TO_SEMITONE.get(tonic.lower())
    offset = _MODES.get(mode.strip().lower())
    if semitone is None or offset is None:
        raise ArgumentError(f"'{name}' is not one of the 24 keys. Write it as 'C# minor' or 'Db major'.")
    return int(semitone) + offset


def chord_number(name: str) -> int | None:
    """Place in ``CHORDS`` of a chord in Harte's syntax, such as "D:min7/b3"; None if it is of no class.

    A chord is major if it holds its root's major triad, minor if the minor one, whatever else it holds;
    with neither (suspended, diminished, power chord), with both, or unknown ("X"), it is not counted.

    Raises:
        ValueError: this is not the name of a chord.

    Source:
        The 25 classes of MARBLE v2 (Chords1217). Departs from it for "X", which it counts as no chord.
    """
    try:
        root, semitones, _ = mir_eval.chord.encode(name)
    except mir_eval.chord.InvalidChordException as error:
        raise ArgumentError(
            f"'{name}' is not the name of a chord ({error}). Write it as 'C#:min7'."
        ) from None
    if name == mir_eval.chord.NO_CHORD:
        return len(CHORDS) - 1
    is_major, is_minor = (all(semitones[[i for i, on in enumerate(t) if on]] > 0) for t in (_MAJOR, _MINOR))
    if root < 0 or is_major == is_minor:
        return None
    return int(root) + (0 if is_major else 12)
