"""What `mkdocs.yml` cannot say: some files from elsewhere in the repository are the site's too."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
ICON = "pictures/icon.svg"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name in DOCUMENTS:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    files.append(File.generated(config, ICON, abs_src_path=str(ROOT / "service" / "page" / "icon.svg")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The links between documents as the site has them: all in one folder, and called by words, not by file names."""
    markdown = re.sub(r"\[([\w-]+)\.md\]\(", lambda link: f"[{link[1].replace('-', ' ').lower()}](", markdown)
    if page.file.src_uri in DOCUMENTS:
        return markdown.replace("](docs/", "](")
    return re.sub(rf"\]\(\.\./({'|'.join(DOCUMENTS)})", r"](\1", markdown)
