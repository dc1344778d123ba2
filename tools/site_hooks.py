"""What the site takes from outside docs: the changelog, as a page of its own."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add CHANGELOG.md."""
    changelog = Path(config.config_file_path).parent / "CHANGELOG.md"
    files.append(File.generated(config, "changelog.md", content=changelog.read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to it, which in the repository lead out of docs."""
    return markdown.replace("](../CHANGELOG.md)", "](changelog.md)")
