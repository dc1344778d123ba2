"""The official side of against_official.py and official_reads_ours.py; runs without solfa, in an environment
that against_official.py builds.

    python benchmarks/official_side.py write muq-large FOLDER     random weights in the official layout
    python benchmarks/official_side.py serve muq-large FOLDER     encodes what standard input asks for
    python benchmarks/official_side.py names muq FOLDER           the tensors that its config.json asks for

Needs muq 0.1.0, transformers 4.57.6 and torchaudio without its C++ part.
"""

import argparse
import json
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Encode = Callable[[Tensor], Sequence[Tensor]]  # waveforms -> all hidden states

SEED = 0
MUQ_SIZES = {
    "muq-tiny": {"width": 64, "widened": 128, "layers": 2, "heads": 4, "channels": 16},
    "muq-large": {"width": 1024, "widened": 4096, "layers": 12, "heads": 16, "channels": 512},
}
HUBERT_SIZES = {
    "mert-tiny": {"width": 64, "widened": 128, "layers": 2, "heads": 4, "channels": 32},
    "mert-95m": {"width": 768, "widened": 3072, "layers": 12, "heads": 12, "channels": 512},
    "mert-330m": {"width": 1024, "widened": 4096, "layers": 24, "heads": 16, "channels": 512},
}


def serve(load: Callable[[], Encode]) -> None:
    """Load a model, then answer one request a line: encode a waveform, save what it gave, tell the memory.

    Only the encoding itself is timed. Whatever the libraries print goes to standard error.
    """
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    encode = load()
    answer(torch=torch.__version__, megabytes=peak_megabytes())
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is that of encoding
    states: Sequence[Tensor] = ()
    for line in sys.stdin:
        request = json.loads(line)
        if "waveform" in request:
            waveform = torch.from_numpy(np.load(request["waveform"]))
            states = ()  # of the call before: they would count as memory of this one
            start, processor_start = time.perf_counter(), time.process_time()
            with torch.no_grad():
                states = encode(waveform)
            seconds, processor = time.perf_counter() - start, time.process_time() - processor_start
            answer(seconds=seconds, processor_seconds=processor, megabytes=peak_megabytes())
        else:
            for layer, state in enumerate(states):
                np.save(Path(request["save"]) / f"{layer}.npy", state.numpy())
            answer(n_layers=len(states))


def peak_megabytes() -> float:
    """The most memory that this process ever held, in MB (10^6 bytes); Linux tells."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1.024e-3 for line in status.splitlines() if line.startswith("VmHWM"))


def write_weights(name: str, folder: Path) -> None:
    """Random weights of a model in the official layout; no norm and no bias is trivial."""
    torch.manual_seed(SEED)
    model = _new_muq(name) if name in MUQ_SIZES else _new_hubert(name)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if name in HUBERT_SIZES:
        values = {"do_normalize": False, "feature_size": 1, "sampling_rate": 24_000}
        (folder / "preprocessor_config.json").write_text(json.dumps(values))


def load_muq(folder: Path) -> Encode:
    """The official MuQ."""
    model = _muq_library().MuQ.from_pretrained(str(folder)).eval()
    return lambda waveform: model(waveform, output_hidden_states=True).hidden_states


def load_hubert(folder: Path) -> Encode:
    """The HuBERT of transformers, which computes what MERT does."""
    from transformers import HubertModel

    model = HubertModel.from_pretrained(str(folder)).eval()
    return lambda waveform: model(waveform, output_hidden_states=True).hidden_states


def wanted_names(kind: str, folder: Path) -> dict[str, list[int]]:
    """Names and shapes of the tensors of a model that is built of a folder's ``config.json`` alone."""
    if kind == "muq":
        library = _muq_library()
        values = json.loads((folder / "config.json").read_text())
        known = {name: values[name] for name in values.keys() & library.MuQConfig.__dataclass_fields__}
        model: nn.Module = library.MuQ(library.MuQConfig(**known))
    else:
        from transformers import HubertConfig, HubertModel

        model = HubertModel(HubertConfig.from_pretrained(str(folder)))
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def _muq_library() -> Any:
    """The muq package. Importing it asks for torchvision, of which it uses nothing: an empty one will do."""
    import transformers.utils  # noqa: F401  looks for the real torchvision, so it must come first

    pictures = types.ModuleType("torchvision")
    pictures.transforms = types.ModuleType("torchvision.transforms")  # type: ignore[attr-defined]
    sys.modules.setdefault("torchvision", pictures)
    import muq

    return muq


def _new_muq(name: str) -> nn.Module:
    """A MuQ with the settings of the published one, but for its size."""
    size, library = MUQ_SIZES[name], _muq_library()
    conformer = {
        **dict.fromkeys(("activation_dropout", "attention_dropout", "conformer_conv_dropout"), 0.1),
        **{"hidden_dropout": 0.1, "layerdrop": 0.0, "layer_norm_eps": 1e-5, "hidden_act": "swish"},
        **{"hidden_size": size["width"], "intermediate_size": size["widened"]},
        **{"num_attention_heads": size["heads"], "num_hidden_layers": size["layers"]},
        **{"conv_depthwise_kernel_size": 31, "feat_extract_activation": "gelu"},
        **{"num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16},
        **{"position_embeddings_type": "rotary", "rotary_embedding_base": 10_000},
        "max_source_positions": 5000,
    }
    config = library.MuQConfig(
        codebook_size=8192,
        conv_dim=size["channels"],
        encoder_dim=size["width"],
        encoder_depth=size["layers"],
        stat={"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623},
        w2v2_config=conformer,
        use_rvq_target=True,
    )
    return library.MuQ(config)


def _new_hubert(name: str) -> nn.Module:
    """A HuBERT of MERT's size: the smaller one normalises after each part, the larger one before it."""
    from transformers import HubertConfig, HubertModel

    size = HUBERT_SIZES[name]
    config = HubertConfig(
        hidden_size=size["width"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        intermediate_size=size["widened"],
        conv_dim=[size["channels"]] * 7,
        do_stable_layer_norm=name == "mert-330m",
    )
    return HubertModel(config)


def main() -> None:
    """Write weights, serve, or tell names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("write", "serve", "names"))
    parser.add_argument("model", choices=("muq", "mert", *MUQ_SIZES, *HUBERT_SIZES))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    load = load_muq if arguments.model.startswith("muq") else load_hubert
    if arguments.task == "names":
        print(json.dumps(wanted_names(arguments.model, arguments.folder)))
    elif arguments.task == "write":
        write_weights(arguments.model, arguments.folder)
    else:
        serve(lambda: load(arguments.folder))


if __name__ == "__main__":
    main()
