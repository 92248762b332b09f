"""The hooks that autosync uses, and those that git knows (githooks(5))."""

from __future__ import annotations

#: Where people commit, merge and push.
CLIENT = ("post-commit", "post-merge", "post-rewrite", "post-checkout", "pre-push")
#: Where pushes arrive.
SERVER = ("post-receive",)

#: Every hook that git looks for by name in its hooks folder.
KNOWN = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "post-index-change",
)

# The mere presence of the others changes what git does, or they run many times in one command.
#: Hooks that may stand in a folder and do nothing, at the cost of a shell each.
HARMLESS = frozenset(
    {
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "pre-commit",
        "pre-merge-commit",
        "prepare-commit-msg",
        "commit-msg",
        "pre-rebase",
        "pre-auto-gc",
    }
)


def wanted(bare: bool) -> tuple[str, ...]:
    """The hooks that a repository gets."""
    return SERVER if bare else CLIENT
