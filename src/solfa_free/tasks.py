"""The tasks of the free benchmark: those of rendered music, and those of recordings."""

from solfa_free.tasks_of_recordings import REAL_TASKS
from solfa_free.tasks_of_renderings import RENDERED_TASKS

FREE = "free"  # stands for all of them
FREE_TASKS = (*RENDERED_TASKS, *REAL_TASKS)
