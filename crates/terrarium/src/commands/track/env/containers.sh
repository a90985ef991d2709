
# Containers (Apptainer, Singularity): LD_PRELOAD reaches into them, and the two directories have to be there as well. If
# they are on every node, take the marks away; a directory that is missing keeps containers from starting.
#export APPTAINER_BIND="${APPTAINER_BIND:+$APPTAINER_BIND,}"@DIRECTORY@:@DIRECTORY@:ro,@SPOOL@
#export APPTAINERENV_LD_PRELOAD=@HOOK@ APPTAINERENV_TERRARIUM_SPOOL=@SPOOL@
#export SINGULARITY_BIND="${SINGULARITY_BIND:+$SINGULARITY_BIND,}"@DIRECTORY@:@DIRECTORY@:ro,@SPOOL@
#export SINGULARITYENV_LD_PRELOAD=@HOOK@ SINGULARITYENV_TERRARIUM_SPOOL=@SPOOL@
