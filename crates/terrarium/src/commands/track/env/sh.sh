# Records which libraries Python processes load that this shell starts. In a shell, or in a batch script:
#   eval "$(terrarium track env)"
