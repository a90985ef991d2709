# Records which libraries Python processes load that this shell starts. Write it to a file, and `source` that; for all users
# to /etc/profile.d/terrarium.csh.
# Who does not want it sets TERRARIUM_TRACK=off, or makes a file ~/.config/terrarium/no-track.
set terrarium_track = on
if ( $?TERRARIUM_TRACK ) then
	if ( "$TERRARIUM_TRACK" == off ) set terrarium_track = off
endif
if ( $?XDG_CONFIG_HOME ) then
	if ( -e "$XDG_CONFIG_HOME/terrarium/no-track" ) set terrarium_track = off
else if ( $?HOME ) then
	if ( -e "$HOME/.config/terrarium/no-track" ) set terrarium_track = off
endif
if ( "$terrarium_track" == off ) then
	setenv TERRARIUM_TRACK off
else if ( -r @HOOK@ ) then
	if ( ! $?LD_PRELOAD ) then
		setenv LD_PRELOAD @HOOK@
	else if ( "$LD_PRELOAD" == "" ) then
		setenv LD_PRELOAD @HOOK@
	else if ( "$LD_PRELOAD" !~ *libterrarium_hook.so* ) then
		setenv LD_PRELOAD "$LD_PRELOAD":@HOOK@
	endif
	if ( ! $?TERRARIUM_SPOOL ) setenv TERRARIUM_SPOOL @SPOOL@
endif
unset terrarium_track
