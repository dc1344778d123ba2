"""Scores that others have published, each with its source; a dash where nothing was published.

Rows of one source can be compared with each other. With rows of solfa they can be compared as far as data,
splits and the search of layers and rates are the same, which only the task's own notes can say.
"""

from dataclasses import dataclass

Column = tuple[str, str]  # task and metric

MARBLE = "MARBLE, arXiv:2306.10548, tables 3 and 4"
MERT = "MERT, arXiv:2306.00107, as quoted by MuQ's table 1, and for GTZAN by MARBLE's issue 7"
MUQ = "MuQ, arXiv:2501.01108, table 1"
MUSICFM = "MusicFM, arXiv:2311.03318, table 1"
MUSICFM_NOTE = (
    "MusicFM's own table cannot be compared with the others: longer inputs, and MagnaTagATune without "
    "the clips that carry no tag."
)
SOURCE_NOTE = (
    "MERT's and MARBLE's tables give different scores for the same weights (GTZAN 79.3 and 77.6 for 330M): "
    "the search of layers and rates matters by two to four points. MuQ's rows are of weights that are not "
    "those published as MuQ-large-msd-iter, and its row of MERT is MERT's own, but for Harmonix."
)


@dataclass(frozen=True)
class PublishedRow:
    """The scores of a model, as its source prints them."""

    model: str
    source: str
    scores: dict[Column, float]  # in the unit in which tables print the metric, mostly percent


TASK_COLUMNS: dict[str, Column] = {
    "MTT ROC": ("magnatagatune", "roc_auc"),
    "MTT AP": ("magnatagatune", "pr_auc"),
    "GS": ("giantsteps_key", "key_score"),
    "GTZAN": ("gtzan_genre", "accuracy"),
    "beat": ("gtzan_beats", "beat_f1"),
    "downbeat": ("gtzan_beats", "downbeat_f1"),
    "EMO V": ("emomusic", "r2_valence"),
    "EMO A": ("emomusic", "r2_arousal"),
    "NSynth I": ("nsynth_instrument", "accuracy"),
    "NSynth P": ("nsynth_pitch", "accuracy"),
    "technique": ("vocalset_technique", "accuracy"),
    "singer": ("vocalset_singer", "accuracy"),
    "structure": ("harmonix_structure", "frame_accuracy"),
    "inst ROC": ("mtg_instrument", "roc_auc"),
    "inst AP": ("mtg_instrument", "pr_auc"),
    "mood ROC": ("mtg_mood", "roc_auc"),
    "mood AP": ("mtg_mood", "pr_auc"),
    "genre ROC": ("mtg_genre", "roc_auc"),
    "genre AP": ("mtg_genre", "pr_auc"),
    "top50 ROC": ("mtg_top50", "roc_auc"),
    "top50 AP": ("mtg_top50", "pr_auc"),
    "chords": ("chords1217", "frame_accuracy"),
    "HR.5F": ("harmonix_structure", "hr5f"),
    "SDR vocals": ("musdb18", "sdr_vocals"),
    "SDR drums": ("musdb18", "sdr_drums"),
    "SDR bass": ("musdb18", "sdr_bass"),
    "SDR other": ("musdb18", "sdr_other"),
}

# What a line leaves out was not published: "-".
_TABLES = (
    (
        MARBLE,
        """
        model|MTT ROC|MTT AP|GS|GTZAN|beat|EMO V|EMO A|NSynth I|NSynth P|technique|singer
        MusiCNN|90.3|37.8|14.4|73.5|-|44.4|68.8|72.6|64.1|70.3|57.0
        CLMR|89.5|36.0|14.8|65.2|-|44.4|70.3|67.9|47.0|58.1|49.9
        Jukebox-5B|91.4|40.6|63.8|77.9|-|57.0|73.0|70.4|91.6|76.7|82.6
        MULE|91.2|40.1|64.9|75.5|-|60.7|73.1|74.6|88.5|75.5|87.5
        Music2Vec|90.0|36.2|50.6|74.1|68.2|52.1|71.0|69.3|93.1|71.1|81.4
        MERT-v1-95M|91.0|39.3|63.5|74.8|88.3|55.5|76.3|70.7|92.6|74.2|83.7
        MERT-v1-330M|91.1|39.5|61.7|77.6|87.9|59.0|75.8|72.6|94.4|76.9|87.1
        """,
    ),
    (
        MARBLE,
        """
        model|inst ROC|inst AP|mood ROC|mood AP|genre ROC|genre AP|top50 ROC|top50 AP
        MusiCNN|74.0|17.2|74.0|12.6|86.0|17.5|82.0|27.5
        CLMR|73.5|17.0|73.5|12.6|84.6|16.2|81.3|26.4
        Jukebox-5B|78.5|22.0|77.6|15.3|88.0|20.5|83.7|30.6
        MULE|76.6|19.2|78.0|15.4|88.0|20.4|83.7|30.6
        Music2Vec|76.1|19.2|76.7|14.3|87.1|18.8|83.0|29.2
        MERT-v1-95M|77.5|19.4|76.4|13.4|87.1|18.8|83.0|29.0
        MERT-v1-330M|78.1|19.8|76.5|14.0|86.7|18.6|83.4|29.9
        """,
    ),
    (
        MARBLE,
        """
        model|SDR vocals|SDR drums|SDR bass|SDR other
        Music2Vec|5.5|5.5|4.1|3.0
        MERT-v1-95M|5.5|5.5|3.8|3.1
        MERT-v1-330M|5.3|5.6|3.6|3.0
        """,
    ),
    (
        MERT,
        """
        model|MTT ROC|MTT AP|GS|GTZAN|EMO V|EMO A|NSynth I|NSynth P|technique|singer
        MERT-95M (RVQ)|-|-|-|78.6|-|-|-|-|-|-
        MERT-330M (RVQ)|91.3|40.2|65.6|79.3|61.2|74.7|72.6|94.4|76.9|87.1
        """,
    ),
    (
        MUQ,
        """
        model|GTZAN|GS|EMO V|EMO A|singer|technique|structure|MTT ROC|MTT AP|NSynth I|NSynth P
        MERT (330M)|78.6|65.6|61.2|74.7|87.1|76.9|75.7|91.3|40.2|72.6|94.4
        MusicFM|83.8|63.9|60.3|76.3|92.0|78.4|76.5|91.3|40.0|76.2|91.1
        MuQ (Music4All)|84.0|63.7|60.0|76.0|95.2|80.8|76.4|91.1|39.0|76.9|91.2
        MuQ|85.5|63.5|60.9|75.4|95.8|82.4|76.5|91.4|40.3|79.2|92.3
        MuQ (iterated)|85.6|65.0|62.8|76.1|96.2|81.6|77.2|91.4|40.1|79.7|91.3
        """,
    ),
    (
        MUSICFM,
        """
        model|beat|downbeat|chords|structure|HR.5F|GS|MTT AP|MTT ROC
        MusicFM 25 Hz|86.8|80.4|71.4|72.6|69.9|67.4|48.83|92.35
        MusicFM 25 Hz, FMA|86.8|76.7|67.5|66.4|63.1|67.4|47.26|91.67
        """,
    ),
)


def _read() -> tuple[PublishedRow, ...]:
    rows: dict[tuple[str, str], PublishedRow] = {}
    for source, table in _TABLES:
        head, *lines = (line.strip().split("|") for line in table.strip().splitlines())
        for model, *values in lines:
            row = rows.setdefault((source, model), PublishedRow(model, source, {}))
            named = zip(head[1:], values, strict=True)
            row.scores.update({TASK_COLUMNS[name]: float(value) for name, value in named if value != "-"})
    return tuple(rows.values())


PUBLISHED = _read()
