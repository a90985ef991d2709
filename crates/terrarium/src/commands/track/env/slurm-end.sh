if [ "${TERRARIUM_TRACK:-}" = off ]; then
	echo 'export TERRARIUM_TRACK=off'
elif [ -r @HOOK@ ]; then
	printf 'export LD_PRELOAD=%s\n' "$LD_PRELOAD"
	printf 'export TERRARIUM_SPOOL=%s\n' "$TERRARIUM_SPOOL"
fi
