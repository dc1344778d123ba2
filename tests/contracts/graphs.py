"""Whether a compiler sees an encoder as one graph, where nothing wraps functions to check shapes."""

import torch


def see_one_graph(name: str) -> None:
    """Raise AssertionError with the reasons if the encoder of this name is cut into several."""
    from contracts.test_encoders import CLIPS, ENDS, shared

    found = torch._dynamo.explain(shared(name))(CLIPS, torch.tensor(ENDS))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons
