"""`gcwatch demo`: a folder and what is below it, as a tree."""

from pathlib import Path

from rich.text import Text
from rich.tree import Tree

from gcwatch.core.text import data_size, printable_name


def folder_tree(folder: Path, title: str) -> Tree:
    """Given a folder, return it as a tree with the sizes of its files, without hidden ones."""
    root = Tree(Text(title, "bold"))
    _add_entries(root, folder)
    return root


def _add_entries(branch: Tree, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = Text(printable_name(path.name))
        if path.is_dir():
            _add_entries(branch.add(name.append("/")), path)
        else:
            branch.add(name.append(f"  {data_size(path.stat().st_size)}", "dim"))
