# Who does not want it sets TERRARIUM_TRACK=off, or makes a file ~/.config/terrarium/no-track.
if [ -e "${XDG_CONFIG_HOME:-${HOME:-}/.config}/terrarium/no-track" ]; then
	TERRARIUM_TRACK=off
	export TERRARIUM_TRACK
elif [ "${TERRARIUM_TRACK:-}" != off ] && [ -r @HOOK@ ]; then
	case " ${LD_PRELOAD:-}:" in
	*[:\ ]@HOOK@[:\ ]* | */libterrarium_hook.so[:\ ]*) ;;
	*) LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}"@HOOK@ ;;
	esac
	[ -n "${TERRARIUM_SPOOL:-}" ] || TERRARIUM_SPOOL=@SPOOL@
	export LD_PRELOAD TERRARIUM_SPOOL
fi
