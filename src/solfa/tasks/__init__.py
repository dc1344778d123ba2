"""Labelled data sets: tracks, splits, labels, protocols. One file each."""

from solfa.tasks.base import SPLITS, ClipRule, Item, Label, Split, Task, TaskError
from solfa.tasks.catalogue import TASKS, Presence, find_data, load_items, look_for, task
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, LabelKind, Numbers, Span, Stems, Tags
from solfa.tasks.leaks import find_leaks, shared_groups

__all__ = [
    "SPLITS",
    "TASKS",
    "Classes",
    "ClipRule",
    "FrameClasses",
    "FrameEvents",
    "Item",
    "Label",
    "LabelKind",
    "Numbers",
    "Presence",
    "Span",
    "Split",
    "Stems",
    "Tags",
    "Task",
    "TaskError",
    "find_data",
    "find_leaks",
    "load_items",
    "look_for",
    "shared_groups",
    "task",
]
