"""Minimal filtering: a 3 x 3 convolution with a quarter of its multiplications, for use without gradients.

Along one axis, four outputs ``y_i = g_0 d_i + g_1 d_{i+1} + g_2 d_{i+2}`` of six samples ``d`` take twelve
multiplications. Seen as products of polynomials they take six, one for each of the points 0, 1, -1, 2, -2 and
infinity: ``y = A^T [(G g) * (B^T d)]``, where ``*`` multiplies entry by entry and

          4  0 -5  0  1  0          1/4    0     0         1  1  1  1  1  0
          0 -4 -4  1  1  0         -1/6  -1/6  -1/6        0  1 -1  2 -2  0
    B^T = 0  4 -4 -1  1  0     G = -1/6   1/6  -1/6  A^T = 0  1  1  4  4  0
          0 -2 -1  2  1  0         1/24  1/12   1/6        0  1 -1  8 -8  1
          0  2 -1 -2  1  0         1/24 -1/12   1/6
          0  4  0 -5  0  1            0    0     1

Along both axes a tile of 4 x 4 outputs, ``Y = A^T [(G g G^T) * (B^T d B)] A``, takes 36 instead of 144. The
three maps are linear, so the sum over channels can stand inside the brackets: for each of the 36 entries it
is a matrix product of tiles x channels with channels x channels, which is where the time should go. The maps
are sums of rows that lie in the processor's cache; images have their channels last, so that rows are long.

Rounding is about ten times that of a plain convolution: 1e-5 of the largest value with 512 channels.

Source:
    F(4 x 4, 3 x 3) of Lavin and Gray, arXiv:1509.09308, after Winograd, Arithmetic Complexity of
    Computations, 1980.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

TILE = 4  # outputs along an axis
WINDOW = 6  # samples that they are made of
TILES_AT_ONCE = 256  # in a matrix product: enough for its full speed, few enough to bound the memory
TILES_IN_CACHE = 16  # of which rows are added: 1 MB with 512 channels
FILTER_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def filter_transform(weight: Float[Tensor, "out channel 3 3"]) -> Float[Tensor, "36 channel out"]:
    """``G g G^T`` for each pair of channels: a matrix for each entry of a window."""
    along_one = torch.tensor(FILTER_TRANSFORM, dtype=torch.float64)
    along_both = torch.kron(along_one, along_one).to(weight)
    n_out, n_channels = weight.shape[:2]
    entries = along_both @ weight.reshape(n_out * n_channels, 9).T
    return entries.view(-1, n_out, n_channels).transpose(1, 2)


def add_convolution_(
    total: Float[Tensor, "clip bin frame out"],
    image: Float[Tensor, "clip bin frame channel"],
    filters: Float[Tensor, "36 channel out"],
) -> None:
    """Add to ``total`` the convolution of ``image``, with zeros around it, by transformed filters."""
    n_rows, n_columns = (-(-size // TILE) for size in image.shape[1:3])
    rows_at_once = max(1, TILES_AT_ONCE // n_columns)
    for clip_total, clip in zip(total, image, strict=True):
        for row in range(0, n_rows, rows_at_once):
            rows = range(row, min(row + rows_at_once, n_rows))
            for column in range(0, n_columns, TILES_AT_ONCE):
                columns = range(column, min(column + TILES_AT_ONCE, n_columns))
                _add_tiles(clip_total, clip, filters, rows, columns)


def _add_tiles(
    total: Float[Tensor, "bin frame out"],
    image: Float[Tensor, "bin frame channel"],
    filters: Float[Tensor, "36 channel out"],
    rows: range,
    columns: range,
) -> None:
    n_in_cache = max(1, TILES_IN_CACHE // len(rows))
    parts = [range(n, min(n + n_in_cache, columns.stop)) for n in columns[::n_in_cache]]
    windows = image.new_empty(WINDOW, WINDOW, len(rows), len(columns), image.shape[2])
    for part, slot in zip(parts, windows.split(n_in_cache, 3), strict=True):
        _transform_windows(_samples(image, rows, part), slot)
    products = torch.bmm(windows.view(WINDOW**2, -1, image.shape[2]), filters)
    products = products.view(WINDOW, WINDOW, len(rows), len(columns), -1)
    for part, entries in zip(parts, products.split(n_in_cache, 3), strict=True):
        place = total[TILE * rows.start : TILE * rows.stop, TILE * part.start : TILE * part.stop]
        place += _outputs(entries)[: place.shape[0], : place.shape[1]]


def _samples(
    image: Float[Tensor, "bin frame channel"], rows: range, columns: range
) -> Float[Tensor, "sample_bin sample_frame channel"]:
    """What the tiles of these rows and columns are made of: one sample more on each side, zeros outside."""
    top, bottom = TILE * rows.start - 1, TILE * rows.stop + 1
    left, right = TILE * columns.start - 1, TILE * columns.stop + 1
    inside = image[max(0, top) : bottom, max(0, left) : right]
    missing = (-left, right - image.shape[1], -top, bottom - image.shape[0])
    return F.pad(inside, (0, 0, *(max(0, n) for n in missing)))


def _transform_windows(
    samples: Float[Tensor, "sample_bin sample_frame channel"],
    windows: Float[Tensor, "6 6 row column channel"],
) -> None:
    """``B^T d B`` of all windows, each of which overlaps the next by two samples."""
    n_rows, n_columns = windows.shape[2:4]
    half = samples.new_empty(WINDOW, n_rows, *samples.shape[1:])
    _transform_samples([samples[i::TILE][:n_rows] for i in range(WINDOW)], half.unbind(0))
    _transform_samples([half[:, :, j::TILE][:, :, :n_columns] for j in range(WINDOW)], windows.unbind(1))


def _outputs(
    products: Float[Tensor, "6 6 row column out"],
) -> Float[Tensor, "tile_bin tile_frame out"]:
    """``A^T [...] A`` of all tiles, put together."""
    _, _, n_rows, n_columns, n_out = products.shape
    half = products.new_empty(TILE, *products.shape[1:])
    _transform_products(products.unbind(0), half.unbind(0))
    tiles = products.new_empty(n_rows, TILE, n_columns, TILE, n_out)
    _transform_products(half.unbind(1), tiles.permute(3, 1, 0, 2, 4).unbind(0))
    return tiles.view(n_rows * TILE, n_columns * TILE, n_out)


def _transform_samples(d: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """``B^T d``; what two of its rows share is computed once."""
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(d[4], d[2], out=even)
    torch.sub(d[3], d[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(d[0], d[2], out=out[0]).mul_(4).add_(even)
    torch.sub(d[5], d[3], out=out[5]).sub_(odd, alpha=4)


def _transform_products(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """``A^T m``; what two of its rows share is computed once."""
    near, far = m[1] + m[2], m[3] + m[4]  # of the points 1 and -1, 2 and -2
    torch.add(near, far, out=out[0]).add_(m[0])
    torch.add(near, far, alpha=4, out=out[2])
    torch.sub(m[1], m[2], out=near)
    torch.sub(m[3], m[4], out=far)
    torch.add(near, far, alpha=2, out=out[1])
    torch.add(near, far, alpha=8, out=out[3]).add_(m[5])
