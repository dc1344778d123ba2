"""The notebooks run from their first cell to their last, in an empty folder of their own."""

import re
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_no_place_of_the_machine_where_it_ran(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    said = "\n".join(str(out.get("text", "")) for cell in book.cells for out in cell.get("outputs", ()))
    assert not re.search(r"(?<![\w.:/])/(?:home|root|tmp|work|Users|var|usr)\b", said)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(path.parents[2] / "demo", clone / "demo")
    monkeypatch.setenv("SOLFA_LIBRARY", str(tmp_path / "none.sqlite"))
    book = nbformat.read(path, as_version=4)
    said = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    assert any(said), "kept without outputs: run it once before it is committed"
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(clone)}}
    ).execute()
    texts = [out.get("text", "") for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not any("Traceback" in text for text in texts)
