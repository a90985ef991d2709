#!/bin/sh
# A TaskProlog for Slurm: records which libraries the Python processes of all job steps load. Save it on every node, mode 0755,
# and name it in slurm.conf: TaskProlog=/etc/slurm/terrarium-task-prolog
# It runs as the user, and Slurm takes what it prints into the task's environment. The batch script itself is no task: for
# that, use /etc/profile.d or a module file as well.
# The spool has to be there on every node: terrarium track env --format tmpfiles
