"""Scenes that music is made for, by the words in the names of tracks and folders."""

import re

SCENES = {  # scene -> how words begin that say it
    "battle": r"battle|combat|fight|boss|war\b|attack|assault|skirmish|action",
    "menu": r"menu|title|intro\b|opening",
    "calm": r"ambient|peace|calm|quiet|relax|dream",
    "space": r"space|galax|nebula|cosm|orbit|planet|moon",
    "town": r"town|city|village|castle|tavern",
    "water": r"water|sea\b|ocean|pirate|ship|beach|river|underwater|fish\b",
    "forest": r"forest|jungle|tree|nature",
    "cave": r"cave|dungeon|underground|crypt|cavern",
    "winter": r"winter|snow|ice\b|icy|antarctic|arctic|frost|cold|christmas",
}


def scenes_in(name: str) -> list[str]:
    """The scenes whose words stand in a name: silver labels, since a name may mean something else."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower())
    return [scene for scene, pattern in SCENES.items() if re.search(rf"\b(?:{pattern})", words)]
