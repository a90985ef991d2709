# /etc/profile.d/terrarium.sh: records which libraries the Python processes of login shells load, and what these start.
# For csh: terrarium track env --format csh > /etc/profile.d/terrarium.csh
# The spool has to be there on every node: terrarium track env --format tmpfiles
