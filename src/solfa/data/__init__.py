"""Lists of tracks, and the clips cut from them."""

from typing import TYPE_CHECKING

from solfa.on_demand import names_on_demand

if TYPE_CHECKING:
    from solfa.data.audio import AudioError, AudioInfo, probe_audio, read_audio
    from solfa.data.clips import Clips, ClipsConfig
    from solfa.data.manifest import (
        ManifestError,
        Track,
        read_manifest,
        split_tracks,
        write_manifest,
        write_splits,
    )
    from solfa.data.prepare import (
        NoAudioError,
        Prepared,
        Refused,
        prepare_files,
        prepare_folder,
        write_refused,
    )

__all__ = [
    "AudioError",
    "AudioInfo",
    "Clips",
    "ClipsConfig",
    "ManifestError",
    "NoAudioError",
    "Prepared",
    "Refused",
    "Track",
    "prepare_files",
    "prepare_folder",
    "probe_audio",
    "read_audio",
    "read_manifest",
    "split_tracks",
    "write_manifest",
    "write_refused",
    "write_splits",
]

__getattr__, __dir__ = names_on_demand(
    __name__,
    {
        "audio": ("AudioError", "AudioInfo", "probe_audio", "read_audio"),
        "clips": ("Clips", "ClipsConfig"),
        "manifest": (
            "ManifestError",
            "Track",
            "read_manifest",
            "split_tracks",
            "write_manifest",
            "write_splits",
        ),
        "prepare": (
            "NoAudioError",
            "Prepared",
            "Refused",
            "prepare_files",
            "prepare_folder",
            "write_refused",
        ),
    },
)
