"""solfa codec: hear what an RVQ-VAE keeps of music."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from solfa.cli.device import chosen_device
from solfa.cli.help import examples
from solfa.data.audio import read_audio, writable_format, write_audio
from solfa.features import SpectralDistance, SpectralDistanceConfig
from solfa.targets import load_codec

app = typer.Typer(help="A codec of one's own, fitted by 'solfa train rvq_vae'.", no_args_is_help=True)


@app.command()
@examples(
    "solfa codec roundtrip in.wav out.wav --codec runs/rvq_vae",
    "solfa codec roundtrip song.mp3 coarse.flac --codec runs/rvq_vae --codebooks 2",
)
def roundtrip(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An audio file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .wav, .flac or .ogg; mono.")],
    codec: Annotated[Path, typer.Option(help="The run folder of the codec.")] = Path("runs/rvq_vae"),
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="Keep the first codebooks only.", show_default="all")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute; auto takes a GPU.")] = "auto",
) -> None:
    """Send a recording through a codec's codes and write what comes back, to be listened to.

    Says how many bits a second the codes take, and how far the two are apart: spectral convergence (0 is
    the same, 1 as far as silence), and the mean distance of mel bands in decibels, each over windows from
    5 to 85 ms.

    Exit code: 0 if it is written, 3 if the codec or the recording cannot be read or OUT not be written.
    """
    writable_format(out)
    network = load_codec(codec).to(chosen_device(device))
    grid, quantizer = network.grid, network.config.quantizer
    waveform = torch.from_numpy(read_audio(source, sample_rate=grid.sample_rate))[None].to(
        next(network.parameters()).device
    )
    codes = network.encode(waveform)[:, :codebooks]
    rebuilt = network.decode(codes)[:, : waveform.shape[1]]
    write_audio(out, rebuilt[0].cpu().numpy(), grid.sample_rate)
    kilobits = codes.shape[1] * (quantizer.codebook_size - 1).bit_length() * grid.frame_rate / 1000
    typer.echo(f"{out}: {waveform.shape[1] / grid.sample_rate:.1f} s through {codes.shape[1]} codebooks of "
               f"{quantizer.codebook_size} at {grid.frame_rate:g} Hz, {kilobits:g} kbit/s.")  # fmt: skip
    distance = SpectralDistance(SpectralDistanceConfig(sample_rate=grid.sample_rate)).to(waveform.device)
    if waveform.shape[1] > max(distance.config.n_ffts) // 2:
        apart = distance(waveform, rebuilt)
        typer.echo(f"Spectral convergence {float(apart.convergence):.3f}, mel bands "
                   f"{float(apart.mel_decibels):.1f} dB apart.")  # fmt: skip
