"""Where lines are broken."""

from __future__ import annotations

from autosync.common import folding


def test_lines_break_between_words_and_long_paths_after_a_slash():
    assert folding.folded("one two three", 8) == ["one two", "three"]
    assert folding.folded("  one two three", 9, hang=2) == ["  one two", "    three"]
    assert folding.folded("see /aaaa/bbbb/cccc now", 11) == ["see", "/aaaa/bbbb/", "cccc now"]
    assert folding.folded("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert folding.folded("a\n\nb", 10) == ["a", "", "b"]
    assert all(folding.columns(line) <= 10 for line in folding.folded("漢字漢字漢字漢字 漢字漢字", 10))


def test_a_command_stays_whole_where_it_is_to_be_copied():
    command = "git -C /home/rene/notes merge --abort"
    text = f"see what git says: {command}; all else goes on"
    assert folding.folded(text, 20) == ["see what git says:", f"{command};", "all else goes on"]
    assert folding.folded(f"{command}; or git -C x status (or not)", 20) == [
        f"{command};",
        "or git -C x status",
        "(or not)",
    ]
    assert folding.folded("git says nothing of what was there: nothing", 20)[0].startswith("git says nothing of")
    assert folding.folded("chmod 600 '/a b; c'; go on", 12) == ["chmod 600 '/a b; c';", "go on"]
    assert all(folding.columns(line) <= 20 for line in folding.folded(text, 20, copied=False))
    assert folding.folded("git x: what is it; git y", 9) == ["git x:", "what is", "it; git y"]
    # prose that names git, or begins with a word of a command's
    assert folding.folded("the git of this machine is old", 12) == ["the git of", "this machine", "is old"]
