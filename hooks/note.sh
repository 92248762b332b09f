autosync_notes=$autosync_git/autosync/notes
autosync_refs=
autosync_input=
autosync_mask=

# A push's refs, as git gives them on standard input: as many for the note as fit into one write, all of
# them only for a hook to hand them on to.
autosync_read_refs() {
	while IFS= read -r autosync_line; do
		if [ $((${#autosync_refs} + ${#autosync_line})) -lt 3000 ]; then
			autosync_refs=$autosync_refs$autosync_line'
'
		elif [ -z "$autosync_guest" ]; then
			return
		fi
		[ -z "$autosync_guest" ] || autosync_input=$autosync_input$autosync_line'
'
	done
	autosync_input=$autosync_input$autosync_line
}

# The remote's address without a password, in one line.
autosync_plain_url() {
	autosync_url=$1
	case $autosync_url in
	*'
'*) autosync_url=- ;;
	*://*@*)
		autosync_line=${autosync_url#*://}
		autosync_line=${autosync_line%%/*}
		case $autosync_line in
		*:*@*)
			autosync_url=${autosync_url%%://*}://${autosync_line%%:*}@${autosync_line##*@}${autosync_url#*://"$autosync_line"}
			;;
		esac
		;;
	esac
}

# One write, so that a note is there whole or not at all (bash writes line by line); a plain one always has
# the same length, so that of two at once one is left whole.
autosync_write() {
	case $autosync_hook in
	pre-push)
		printf '1 %s %s\nremote %s %s\n%send\n' "$autosync_hook" "$PPID" \
			"$autosync_remote" "$autosync_url" "$autosync_refs"
		;;
	*) printf '1 %s %07d\nend\n' "$autosync_hook" "$PPID" ;;
	esac >"$1"
}

# Somebody else's note may be in the place, and not ours to replace.
autosync_leave_note() {
	autosync_slot=$((PPID % 64))
	case $autosync_hook in
	pre-push) autosync_name=pre-push.$autosync_slot ;;
	*) autosync_name=$autosync_hook ;;
	esac
	autosync_write "$autosync_notes/$autosync_name" || autosync_write "$autosync_notes/$autosync_name.$autosync_slot"
}

# A relay that is there and will look again before it ends: it wrote its number into its lock.
autosync_relay_runs() {
	printf '' >"$autosync_tree/autosync/once-again" &&
		IFS= read -r autosync_line <"$autosync_tree/autosync/once.lock" &&
		IFS= read -r autosync_line <"/proc/$autosync_line/comm" &&
		[ "${autosync_line#autosync-relay}" != "$autosync_line" ]
}

# Become the relay, keeping nothing of git's: not its variables, its descriptors, its folder or its session. A git that
# was told where its parts are also put that folder before PATH, and is no whole git without being told.
autosync_become_relay() {
	autosync_repository=${PWD%/.git}
	cd / || exit
	[ -z "$autosync_mask" ] || umask "$autosync_mask"
	[ -z "$GIT_EXEC_PATH" ] || PATH=${PATH#"$GIT_EXEC_PATH":}
	set -f
	IFS='
'
	for autosync_line in $(export -p); do
		autosync_line=${autosync_line#export }
		autosync_line=${autosync_line#declare -x }
		autosync_line=${autosync_line%%=*}
		case $autosync_line in
		*[!A-Za-z0-9_]*) ;;
		GIT_*) unset "$autosync_line" ;;
		esac
	done
	exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
	set -- --once "$autosync_repository"
	[ -z "$autosync_config" ] || set -- --config "$autosync_config" "$@"
	if command -v setsid; then
		exec setsid "$autosync_relay" "$@"
	fi
	exec "$autosync_relay" "$@"
}

autosync_act() {
	autosync_leave_note
	if [ -n "$autosync_relay" ] && [ -x "$autosync_relay" ] && ! autosync_relay_runs; then
		# from before it has a session of its own; one that git ignores stays ignored
		trap '' HUP INT
		autosync_become_relay </dev/null >/dev/null 2>&1 &
		trap - HUP INT
		printf '%s\n' "$!" >"$autosync_tree/autosync/once.lock"
	fi
}

if [ -d "$autosync_notes" ]; then
	{
		if [ "$autosync_hook" = pre-push ]; then
			autosync_remote=$1
			autosync_plain_url "$2"
			[ "$1" != "$2" ] || autosync_remote=$autosync_url
			autosync_read_refs
		fi
		if [ -g "$autosync_notes" ]; then
			# shared with a group: each member may replace what another left
			(
				[ -z "$autosync_relay" ] || autosync_mask=$(umask)
				umask 007 && autosync_act
			)
		else
			autosync_act
		fi
	} 2>/dev/null
fi

if [ -n "$autosync_guest" ] && [ -x "$autosync_guest" ]; then
	if [ -n "$autosync_input" ]; then
		printf %s "$autosync_input" 2>/dev/null | "$autosync_guest" "$@"
		exit
	fi
	exec "$autosync_guest" "$@"
fi
exit 0
