#%Module1.0
# Put it where module files are, such as terrarium-track/1.0, and have it loaded for everybody (module collections, or
# MODULES_DEFAULT at login). `module unload terrarium-track` is a way to opt out of it.
# The spool has to be there on every node: terrarium track env --format tmpfiles
module-whatis "records which libraries Python processes load"
proc ModulesHelp { } {
    puts stderr "Records which libraries Python processes load. Who does not want it sets TERRARIUM_TRACK=off,"
    puts stderr "makes a file ~/.config/terrarium/no-track, or unloads this module."
}
set terrarium_config ""
if { [info exists env(HOME)] } {
    set terrarium_config $env(HOME)/.config
}
if { [info exists env(XDG_CONFIG_HOME)] && $env(XDG_CONFIG_HOME) ne "" } {
    set terrarium_config $env(XDG_CONFIG_HOME)
}
set terrarium_off [file exists $terrarium_config/terrarium/no-track]
if { [info exists env(TERRARIUM_TRACK)] && $env(TERRARIUM_TRACK) eq "off" } {
    set terrarium_off 1
}
if { [module-info mode remove] || !$terrarium_off } {
    append-path LD_PRELOAD @HOOK@
    # In a job of `terrarium run`, the run has a directory of its own.
    if { ![info exists env(TERRARIUM_RUN)] } {
        setenv TERRARIUM_SPOOL @SPOOL@
    }
}
# Containers (Apptainer; for Singularity SINGULARITY_BIND and SINGULARITYENV_ likewise): LD_PRELOAD reaches into them, and the
# two directories have to be there as well. A directory that is missing on a node keeps containers from starting there.
#append-path --delim , APPTAINER_BIND @DIRECTORY@:@DIRECTORY@:ro @SPOOL@
#setenv APPTAINERENV_LD_PRELOAD @HOOK@
#setenv APPTAINERENV_TERRARIUM_SPOOL @SPOOL@
