"""Which real recordings have which labels: drums by kind, music and voices and effects, tracks of games.

Labels come out of names of files and folders. Of drums and kinds of sound they are what the makers of the
package meant; scenes of tracks are silver: a word in a name, heard by nobody.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath

from solfa.data.scenes import scenes_in
from solfa_free.debian import PackageError
from solfa_free.free_music import CORE, FreeTrack, list_tracks
from solfa_free.recordings import Files, Recording, is_audio

DRUM_PACKAGES = ("hydrogen-drumkits", "lmms-common", "sonic-pi-samples")
DRUMS = {  # kind -> what its names hold; the first that fits counts
    "clap": r"clap",
    "cowbell": r"cow",
    "rim": r"rim|side ?stick|stick(?!y)",
    "ride": r"ride|^rc_|^rd2?_",
    "crash": r"crash|splash|china|^cc_",
    "open hat": r"open(?!er)|^ho_",
    "hat": r"hat|hh",
    "snare": r"snare|^sn_|_sn(_|$)",
    "kick": r"kick|kik|bass ?drum|^bd|_bd(_|$)",
    "tom": r"tom|^tm2?_|^[ft][t12]_\d",
}
NO_ONE_SHOT = re.compile(r"cb_|loop|roll|tabla|bassdrop")
KITS: dict[str, str] = {  # kit -> split; every kind has kits on all sides
    "ForzeeStereo": "test",
    "Millo-Drums_v.1": "test",
    "Millo_MultiLayered3": "test",  # one maker's kits stand together
    "Millo_MultiLayered2": "test",
    "ElectricEmpireKit": "test",
    "ColomboAcousticDrumkit": "valid",
    "sonic-pi-samples": "valid",
    "VariBreaks": "valid",
    "Gimme A Hand 1.0": "valid",
    "Audiophob": "train",
    "BJA_Pacific": "train",
    "HardElectro1": "train",
    "The Black Pearl 1.0": "train",
    "lmms-common": "train",
}
DRUM_LICENCES = {
    "hydrogen-drumkits": "GPL-2+, CC0, CC-BY, CC-BY-SA-3.0 by kit: see the package's copyright",
    "lmms-common": "GPL-2+",
    "sonic-pi-samples": "CC0, MIT, CC-BY-SA by file: see the package's copyright",
}
DRUM_SECONDS = 2.0

SOUNDS = ("music", "voice", "effect")
SOUND_PACKAGES = {  # package -> split
    "ktuberling-data": "train",
    "supertux-data": "train",
    "marsshooter-data": "train",
    "trackballs-data": "train",
    "starfighter-data": "train",
    "frozen-bubble-data": "train",
    "singularity-music": "train",
    "klettres-data": "valid",
    "neverball-common": "valid",
    "enigma-data": "valid",
    "amoebax-data": "valid",
    "hedgewars-data": "test",
    "hyperrogue-music": "test",
    "wesnoth-1.16-music": "test",
}
VOICES = re.compile(r"/(voices|announcer|speech)/|^usr/share/(klettres|ktuberling)/")
EFFECTS = re.compile(r"/(sounds?|sfx|snd|soundsets|toon)/")
VOICE_SECONDS, MIN_SOUND_SECONDS = 4.0, 0.3
MUSIC_SECONDS = (0.5, 4.0)  # by lot: length must not tell music from the others
N_SOUNDS = 90  # of a kind, out of a package

TRACK_PACKAGES = (  # 2.2 GB to download, of which 1.5 GB are those of solfa data free-music
    *CORE,
    "naev-data",
    "fillets-ng-data",
    "warmux-data",
    "xmoto-data",
    "openclonk-data",
    "lordsawar-data",
)
SCENE_SPLITS = {  # package -> split; the others train
    "wesnoth-1.16-music": "test",
    "hedgewars-data": "test",
    "hyperrogue-music": "test",
    "openclonk-data": "test",
    "enigma-data": "test",
    "pushover-data": "test",
    "starfighter-data": "valid",
    "colobot-common-sounds": "valid",
    "lordsawar-data": "valid",
    "amoebax-data": "valid",
    "wizznic-data": "valid",
    "warmux-data": "valid",
    "fillets-ng-data": "valid",
    "neverball-common": "valid",
}
GAMES = (  # with eight tracks and more
    *("adonthell", "amoebax", "colobot", "enigma", "fillets-ng", "hedgewars", "hyperrogue", "marsshooter"),
    *("naev", "neverball", "nexuiz", "openclonk", "planetblupi", "pushover", "singularity", "starfighter"),
    *("supertux", "ufoai", "warmux", "warzone2100", "wesnoth", "wizznic"),
)
GAME_TURNS = ("train", "test", "train", "valid", "train")  # tracks of a game, in an order by lot
N_GAME_TRACKS = 24  # of a game
TRACK_SECONDS = 20.0


def choose_drums(package: str, files: Files) -> list[Recording]:
    """Drums of a package whose name says their kind."""
    found = []
    for path in filter(is_audio, files()):
        kind, kit = drum_kind(path), _kit(package, path)
        if kind is not None and kit in KITS:
            found.append(
                Recording(
                    package=package, path=path, split=KITS[kit], group=f"kit {kit}",
                    licence=DRUM_LICENCES[package], tags={"corpus": "drums", "kind": kind},
                    seconds=DRUM_SECONDS,
                )
            )  # fmt: skip
    return found


def drum_kind(path: str) -> str | None:
    """The kind of drum that a file's name says, if it says one."""
    place = PurePosixPath(path)
    name = place.stem.lower()
    if place.parent.parent.name == "samples" and place.parent.name != "drums":  # loops, basses ... of LMMS
        return None
    if NO_ONE_SHOT.search(name):
        return None
    return next((kind for kind, pattern in DRUMS.items() if re.search(pattern, name)), None)


def choose_sounds(package: str, files: Files) -> list[Recording]:
    """Music, voices and effects of a package, as many of each."""
    music = {track.path for track in _tracks(package)}
    by_kind: dict[str, list[str]] = defaultdict(list)
    for path in filter(is_audio, files()):
        kind = sound_kind(path, is_music=path in music)
        if kind is not None:
            by_kind[kind].append(path)
    return [
        _sound(package, path, kind)
        for kind, of_kind in by_kind.items()
        for path in sorted(of_kind, key=lambda path: _lot(f"{package} {path}"))[:N_SOUNDS]
    ]


def sound_kind(path: str, *, is_music: bool) -> str | None:
    """Which of ``SOUNDS`` a file is by its folders, if they say it."""
    if is_music:
        return "music"
    if "/music/" in path.lower():
        return None
    if VOICES.search(path.lower()):
        return "voice"
    return "effect" if EFFECTS.search(path.lower()) else None


def choose_tracks(package: str, files: Files) -> list[Recording]:
    """An excerpt of every track that has a scene in its name, or is one of its game's."""
    tracks = _tracks(package)
    turns = _turns(package, tracks)
    found = []
    for track in tracks:
        scenes, turn = scenes_of(track), turns.get(track.path, "")
        if scenes or turn:
            tags = {"corpus": "tracks", "scenes": ",".join(scenes), "game": game_of(package), "turn": turn}
            found.append(
                Recording(
                    package=package, path=track.path, split=SCENE_SPLITS.get(package, "train"),
                    group=f"package {package}", licence=track.licence, tags=tags, seconds=TRACK_SECONDS,
                    is_from_middle=True,
                )
            )  # fmt: skip
    return found


def scenes_of(track: FreeTrack) -> list[str]:
    """The scenes whose words stand in the last folder, the name or the title of a track."""
    place = PurePosixPath(track.path)
    return scenes_in(f"{place.parent.name} {place.stem} {track.title}")


def game_of(package: str) -> str:
    """Name of the game of a package."""
    return next((game for game in GAMES if package.startswith(game)), "")


def _turns(package: str, tracks: Sequence[FreeTrack]) -> dict[str, str]:
    """Path -> split of the tracks that stand for their game."""
    if not game_of(package):
        return {}
    ordered = sorted((track.path for track in tracks), key=lambda path: _lot(f"{package} {path}"))
    return {path: GAME_TURNS[n % len(GAME_TURNS)] for n, path in enumerate(ordered[:N_GAME_TRACKS])}


def _sound(package: str, path: str, kind: str) -> Recording:
    shortest, longest = MUSIC_SECONDS
    share = int(_lot(path)[:8], 16) / 0xFFFFFFFF
    return Recording(
        package=package,
        path=path,
        split=SOUND_PACKAGES[package],
        group=f"package {package}",
        licence="see the package's copyright",
        tags={"corpus": "sounds", "kind": kind},
        seconds=shortest + share * (longest - shortest) if kind == "music" else VOICE_SECONDS,
        is_from_middle=kind == "music",
        min_seconds=MIN_SOUND_SECONDS,
    )


def _kit(package: str, path: str) -> str:
    return PurePosixPath(path).parent.name if package == "hydrogen-drumkits" else package


@cache
def _tracks(package: str) -> list[FreeTrack]:
    try:
        return list_tracks([package])
    except PackageError:  # it holds voices or drums only
        return []


def _lot(name: str) -> str:
    return hashlib.sha256(f"lot {name}".encode(errors="surrogateescape")).hexdigest()
