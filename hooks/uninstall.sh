#!/bin/sh
# Takes autosync's hooks out of this repository without autosync:  sh .git/autosync/uninstall-hooks
# Files that were changed since they were installed are left, and named.

# what core.hooksPath was in this repository before
autosync_replaced=

cd -- "$(dirname -- "$0")/.." || exit 1
unset GIT_DIR

ours() {
	[ -f "$1" ] && [ ! -L "$1" ] && sed -n 2p "$1" | grep -q '^# autosync hook '
}

remove() {
	ours "$1" || return 0
	if [ "$(sed -n '2s/.* //p' "$1")" = "$(sed 1,2d "$1" | sha256sum | cut -c 1-16)" ]; then
		rm -f "$1"
	else
		echo "left, as it was changed: $PWD/$1" >&2
	fi
}

case $(git config --file config --get core.hooksPath) in
*/autosync/hooks)
	if [ -n "$autosync_replaced" ]; then
		git config --file config core.hooksPath "$autosync_replaced"
	else
		git config --file config --unset core.hooksPath
	fi
	;;
esac
for name in post-commit post-merge post-rewrite post-checkout pre-push post-receive; do
	git config --file config --remove-section "hook.autosync-$name" 2>/dev/null
	remove "hooks/$name"
	remove "hooks/$name.legacy"
	if [ ! -e "hooks/$name" ] && { [ -e "hooks-before-autosync/$name" ] || [ -L "hooks-before-autosync/$name" ]; }; then
		mv "hooks-before-autosync/$name" "hooks/$name"
	fi
done
git config --file config --unset autosync.config
remove hooks/post-receive.d/autosync
remove autosync/hook
for file in hooks-before-autosync/*; do
	if [ -L "$file" ] && [ "$(readlink "$file")" = "../hooks/${file##*/}" ]; then
		rm -f "$file"
	fi
done
rmdir hooks-before-autosync 2>/dev/null
for file in autosync/hooks/*; do
	if [ -L "$file" ]; then rm -f "$file"; else remove "$file"; fi
done
rmdir autosync/hooks 2>/dev/null
rm -rf autosync/notes autosync/hooks.json autosync/uninstall-hooks
for folder in autosync worktrees/*/autosync; do
	[ -d "$folder" ] || continue
	rm -rf "$folder/push-lock" "$folder/once.lock" "$folder/once-again" "$folder/announced.json" "$folder"/state-*
	# a service keeps more there
	[ "$(ls -A "$folder")" != lock ] || flock -n "$folder/lock" rm -f "$folder/lock"
	rmdir "$folder" 2>/dev/null
done
exit 0
