"""``python -m solfa``, as torchrun wants it."""

from solfa.cli.main import run

run()
