"""The folders that are watched, as nodes: which is in which, under what name and by what watch."""

from __future__ import annotations

from collections.abc import Iterable


class Folder:
    """One watched folder. ``parent`` is None for the root and for one that was dropped."""

    __slots__ = ("children", "name", "parent", "watch")

    def __init__(self, parent: Folder | None, name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.watch = -1
        self.children: dict[bytes, Folder] | None = None

    def attach(self) -> None:
        """Be found in the parent, instead of whatever has this name there."""
        assert self.parent is not None
        if self.parent.children is None:
            self.parent.children = {}
        self.parent.children[self.name] = self

    def detach(self) -> None:
        """Be found in the parent no more; none that was below has a path any more."""
        parent = self.parent
        if parent is not None and parent.children is not None and parent.children.get(self.name) is self:
            del parent.children[self.name]
            if not parent.children:
                parent.children = None
        for one in self.subtree():
            one.parent = None

    def subtree(self) -> Iterable[Folder]:
        """This folder and all below it."""
        stack = [self]
        while stack:
            folder = stack.pop()
            if folder.children:
                stack.extend(folder.children.values())
            yield folder

    def path(self, root: Folder) -> bytes | None:
        """Its path below ``root``, empty for that itself, None when it was dropped."""
        parts = []
        folder = self
        while folder.parent is not None:
            parts.append(folder.name)
            folder = folder.parent
        if folder is not root:
            return None
        parts.reverse()
        return b"/".join(parts)

    def find(self, path: bytes) -> Folder | None:
        """The folder with this path below this one, if it is watched."""
        folder = self
        for name in path.split(b"/") if path else ():
            child = (folder.children or {}).get(name)
            if child is None:
                return None
            folder = child
        return folder
