"""A folder and what is below it, drawn as a tree."""

from pathlib import Path

from rich.text import Text
from rich.tree import Tree

from gcwatch.core.text import data_size, printable_name


def folder_tree(folder: Path, title: str) -> Tree:
    """Given a folder, return it as a tree with the sizes of its files; what is hidden stays so."""
    root = Tree(Text(title, "bold"))
    _grow(root, folder)
    return root


def _grow(branch: Tree, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = Text(printable_name(path.name))
        if path.is_dir():
            _grow(branch.add(name.append("/")), path)
        else:
            branch.add(name.append(f"  {data_size(path.stat().st_size)}", "dim"))
