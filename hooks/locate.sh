# The git directory that all work trees share, from what git gives a hook: its working folder and GIT_DIR.
autosync_tree=${GIT_DIR:-.git}
# a file: a linked work tree or a submodule
[ ! -f "$autosync_tree" ] || ! IFS= read -r autosync_line <"$autosync_tree" || autosync_tree=${autosync_line#gitdir: }
autosync_git=$autosync_tree
[ ! -f "$autosync_tree/commondir" ] || ! IFS= read -r autosync_line <"$autosync_tree/commondir" || case $autosync_line in
/*) autosync_git=$autosync_line ;;
*) autosync_git=$autosync_tree/$autosync_line ;;
esac
