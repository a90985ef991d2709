# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_terrarium_global_optspecs
    string join \n h/help V/version
end

function __fish_terrarium_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_terrarium_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_terrarium_using_subcommand
    set -l cmd (__fish_terrarium_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c terrarium -n "__fish_terrarium_needs_command" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_needs_command" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "run" -d 'Run a command so that nothing of it survives, inside limits that hold'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "reap" -d 'List what earlier jobs left on this node, and end what was terrarium\'s'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "show" -d 'Show what was recorded of a job: charts in the terminal, a page, pictures'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "top" -d 'The jobs of this node, live'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "trial" -d 'A short run that says what to ask for'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "advise" -d 'What to ask for next time, from earlier runs of the same command'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "limits" -d 'Measure which limits on memory, CPUs and processes hold on this node'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "limits-worker" -d 'Takes memory, for `limits`'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "kernel" -d 'Make Jupyter kernels that run in a jail'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "track" -d 'Which libraries the Python processes of a job have loaded'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "collect" -d 'Turn records into segments, and segments into tables'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "store" -d 'The tables: check, compact, rollup, expire, forget, sql, schema'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "report" -d 'What a centre asks: which libraries, by whom, in which jobs, from where; `list` lists 29 questions'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "import" -d 'Bring in what sites already have: XALT, Customs, snapshots, accounting'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "collect-reader" -d 'Reads what environments hold, for `collect`'
complete -c terrarium -n "__fish_terrarium_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l mem -d 'Memory of the job as a whole, such as 4G' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l swap -d 'Swap on top of --mem [default: 0]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l cpus -d 'CPUs: how many (2) or which (0-3,8; `3,` is CPU 3 alone)' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l pids -d 'Most processes and threads at once' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l time -d 'Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l grace -d 'From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l kill-wait -d 'How long to wait for killed processes to be gone before naming them as survivors' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l orphans -d 'Processes whose parent has died while the command runs: end them after --grace, or keep them' -r -f -a "end\t'End them, with what descends from them, after --grace'
keep\t'Leave them alone until the job ends'"
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l gpus -d 'GPUs: none, or indices such as 0,1 within those visible now' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l threads -d 'Threads that numerical libraries start in each process: auto (the job\'s CPUs), a number, or off' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l net -d 'Network: the host\'s, or none but the job\'s own loopback' -r -f -a "host\t'The host\'s network'
none\t'Only the job\'s own loopback'"
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l only -d 'Show nothing but PATH (with :ro, read-only) and what programs need to run; can be repeated' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l bind -d 'Show SRC at DST (at SRC if not given), also where something else is hidden' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l ro -d 'Make PATH and all below it read-only' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l hide -d 'Make PATH empty and unreadable' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l shm -d 'Size of the job\'s own /dev/shm [default: --mem, or half of the node\'s memory]; or share the host\'s' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l require -d 'Refuse to start in a weaker tier: root, userns or ptrace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l report -d 'Write the summary as JSON to this file' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l record -d 'Record a time series of what the job uses in this file (Arrow; see `terrarium show`)' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l interval -d 'Time from look to look at the job, from 100ms to 1h' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l summary -d 'The summary at the end: full, one line, or none' -r -f -a "full\t'What the job used and left'
line\t'The same in one line, for logs'
none\t'None; notes are still written'"
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l require-mem -d 'Refuse to start if --mem cannot be enforced for the job as a whole'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l with-parent -d 'End the job, as by SIGTERM, when the process that started terrarium ends'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l private-tmp -d 'Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l clean-shm -d 'With --shm host: delete what the job left there, unless a process outside holds it'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l no-new-privileges -d 'No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l no-record -d 'Keep neither a series nor a line in the history'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l no-track -d 'Do not record which libraries the job\'s processes load'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -l dry-run -d 'Print what would be done, and start nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -s q -l quiet -d 'No summary and no notes, only errors'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand run" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -l job -d 'Only what this run left' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -l user -d 'Only what belongs to this user (name or number)' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -s n -l dry-run -d 'List only, end nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -l clean-shm -d 'Also delete files in /dev/shm and System V objects that nobody uses; needs --user unless you are an ordinary user'
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -l json -d 'Print JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand reap" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -l html -d 'Write one page with all charts and tables, which needs nothing else; `-` is stdout' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -l svg -d 'Write each chart as a picture into this directory' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -l csv -d 'Write all looks as CSV, an empty cell for no data; `-` is stdout' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -l json -d 'Print lowest, mean, 95th percentile, highest and total of each metric as JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand show" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -s i -l interval -d 'Time from look to look [default: 2s, with --once and --json 1s]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -l user -d 'Only jobs of this user (name or number)' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -l job -d 'Only this job (its name, or the PID that the table shows), with its processes' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -l once -d 'Print one table and end: also done where standard input or output is no terminal'
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -l json -d 'Print JSON, once (schema terrarium.top/1)'
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand top" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l batch -d 'Lines of a batch script for this system [default: the one whose commands are here, else all]' -r -f -a "slurm\t'#SBATCH'
pbs\t'#PBS'
lsf\t'#BSUB'
all\t'All of them'
none\t'None'"
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l mem -d 'Memory of the job as a whole, such as 4G' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l swap -d 'Swap on top of --mem [default: 0]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l cpus -d 'CPUs: how many (2) or which (0-3,8; `3,` is CPU 3 alone)' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l pids -d 'Most processes and threads at once' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l time -d 'Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l grace -d 'From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l kill-wait -d 'How long to wait for killed processes to be gone before naming them as survivors' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l orphans -d 'Processes whose parent has died while the command runs: end them after --grace, or keep them' -r -f -a "end\t'End them, with what descends from them, after --grace'
keep\t'Leave them alone until the job ends'"
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l gpus -d 'GPUs: none, or indices such as 0,1 within those visible now' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l threads -d 'Threads that numerical libraries start in each process: auto (the job\'s CPUs), a number, or off' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l net -d 'Network: the host\'s, or none but the job\'s own loopback' -r -f -a "host\t'The host\'s network'
none\t'Only the job\'s own loopback'"
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l only -d 'Show nothing but PATH (with :ro, read-only) and what programs need to run; can be repeated' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l bind -d 'Show SRC at DST (at SRC if not given), also where something else is hidden' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l ro -d 'Make PATH and all below it read-only' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l hide -d 'Make PATH empty and unreadable' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l shm -d 'Size of the job\'s own /dev/shm [default: --mem, or half of the node\'s memory]; or share the host\'s' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l require -d 'Refuse to start in a weaker tier: root, userns or ptrace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l report -d 'Write the summary as JSON to this file' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l record -d 'Record a time series of what the job uses in this file (Arrow; see `terrarium show`)' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l interval -d 'Time from look to look at the job, from 100ms to 1h' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l summary -d 'The summary at the end: full, one line, or none' -r -f -a "full\t'What the job used and left'
line\t'The same in one line, for logs'
none\t'None; notes are still written'"
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l json -d 'Print JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l require-mem -d 'Refuse to start if --mem cannot be enforced for the job as a whole'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l with-parent -d 'End the job, as by SIGTERM, when the process that started terrarium ends'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l private-tmp -d 'Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l clean-shm -d 'With --shm host: delete what the job left there, unless a process outside holds it'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l no-new-privileges -d 'No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l no-record -d 'Keep neither a series nor a line in the history'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l no-track -d 'Do not record which libraries the job\'s processes load'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -l dry-run -d 'Print what would be done, and start nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -s q -l quiet -d 'No summary and no notes, only errors'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand trial" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -l last -d 'Only from the last N runs' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -l job -d 'Only from this run; can be repeated' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -l history -d 'Directory of the history [default: TERRARIUM_HISTORY, or terrarium/history in XDG_DATA_HOME or ~/.local/share]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -l batch -d 'Lines of a batch script for this system [default: the one whose commands are here, else all]' -r -f -a "slurm\t'#SBATCH'
pbs\t'#PBS'
lsf\t'#BSUB'
all\t'All of them'
none\t'None'"
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -l json -d 'Print JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand advise" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -l limit -d 'The limit to try; up to four times as much is taken, for a moment [default: 128M, or what fits]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -l only -d 'Only this way of taking memory, this limit, or one of the other tables; can be repeated' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -s n -l dry-run -d 'Say what would be tried, and try nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -l json -d 'Print JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l unit -d 'The limit that it is about, in bytes' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l resource -d 'A resource limit to set before: m, d, v or u' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l value -d 'Its value' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l python -d 'The interpreter, for Python' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l cpus -d 'CPUs to ask for' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -l again -d 'The stack limit was raised already'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand limits-worker" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -f -a "install" -d 'Write a kernel spec whose kernels run in a jail'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -f -a "list" -d 'List terrarium\'s kernel specs, where Jupyter would look for them'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -f -a "remove" -d 'Remove a kernel spec of terrarium\'s; no other is touched'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and not __fish_seen_subcommand_from install list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l name -d 'Name of the kernel spec: lower-case letters, digits, `-`, `_` and `.`' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l display-name -d 'What Jupyter shows [default: Python and its version, with NAME]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l python -d 'The Python of the kernels; it needs ipykernel [default: python3 in PATH]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l prefix -d 'For all who use this prefix: DIR/share/jupyter; /usr/local is for all users of the machine' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l mem -d 'Memory of the job as a whole, such as 4G' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l swap -d 'Swap on top of --mem [default: 0]' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l cpus -d 'CPUs: how many (2) or which (0-3,8; `3,` is CPU 3 alone)' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l pids -d 'Most processes and threads at once' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l time -d 'Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l grace -d 'From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l kill-wait -d 'How long to wait for killed processes to be gone before naming them as survivors' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l orphans -d 'Processes whose parent has died while the command runs: end them after --grace, or keep them' -r -f -a "end\t'End them, with what descends from them, after --grace'
keep\t'Leave them alone until the job ends'"
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l gpus -d 'GPUs: none, or indices such as 0,1 within those visible now' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l threads -d 'Threads that numerical libraries start in each process: auto (the job\'s CPUs), a number, or off' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l net -d 'Network: the host\'s, or none but the job\'s own loopback' -r -f -a "host\t'The host\'s network'
none\t'Only the job\'s own loopback'"
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l only -d 'Show nothing but PATH (with :ro, read-only) and what programs need to run; can be repeated' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l bind -d 'Show SRC at DST (at SRC if not given), also where something else is hidden' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l ro -d 'Make PATH and all below it read-only' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l hide -d 'Make PATH empty and unreadable' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l shm -d 'Size of the job\'s own /dev/shm [default: --mem, or half of the node\'s memory]; or share the host\'s' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l require -d 'Refuse to start in a weaker tier: root, userns or ptrace' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l report -d 'Write the summary as JSON to this file' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l record -d 'Record a time series of what the job uses in this file (Arrow; see `terrarium show`)' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l interval -d 'Time from look to look at the job, from 100ms to 1h' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l summary -d 'The summary at the end: full, one line, or none' -r -f -a "full\t'What the job used and left'
line\t'The same in one line, for logs'
none\t'None; notes are still written'"
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l replace -d 'Replace a kernel spec of that name that is not terrarium\'s'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l user -d 'For yourself: JUPYTER_DATA_DIR, or jupyter below XDG_DATA_HOME or ~/.local/share; the default'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l sys-prefix -d 'In the environment of the Python: its sys.prefix'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l require-mem -d 'Refuse to start if --mem cannot be enforced for the job as a whole'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l with-parent -d 'End the job, as by SIGTERM, when the process that started terrarium ends'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l private-tmp -d 'Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l clean-shm -d 'With --shm host: delete what the job left there, unless a process outside holds it'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l no-new-privileges -d 'No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l no-record -d 'Keep neither a series nor a line in the history'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l no-track -d 'Do not record which libraries the job\'s processes load'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -l dry-run -d 'Print what would be done, and start nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -s q -l quiet -d 'No summary and no notes, only errors'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from install" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from list" -l prefix -d 'Look below this prefix only' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from remove" -l prefix -d 'Look below this prefix only' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from help" -f -a "install" -d 'Write a kernel spec whose kernels run in a jail'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from help" -f -a "list" -d 'List terrarium\'s kernel specs, where Jupyter would look for them'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a kernel spec of terrarium\'s; no other is touched'
complete -c terrarium -n "__fish_terrarium_using_subcommand kernel; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and not __fish_seen_subcommand_from show env help" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and not __fish_seen_subcommand_from show env help" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and not __fish_seen_subcommand_from show env help" -f -a "show" -d 'Show what a process has loaded'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and not __fish_seen_subcommand_from show env help" -f -a "env" -d 'Print what switches tracking on for more than one run: a shell, a site'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and not __fish_seen_subcommand_from show env help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from show" -l spool -d 'Where records are looked for [default: TERRARIUM_SPOOL, or those of the site and your own]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from show" -l modules -d 'List every module, not only packages'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, an object for each record (schema terrarium.track/1)'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from env" -l format -d 'For what' -r -f -a "sh\t'A shell of the Bourne family, by eval'
csh\t'csh and tcsh, by source'
module\t'A module file in Tcl (Environment Modules, Lmod)'
lmod\t'A module file in Lua (Lmod)'
profile.d\t'A file in /etc/profile.d'
ld.so.preload\t'/etc/ld.so.preload: every process of the machine'
slurm\t'A TaskProlog of Slurm'
tmpfiles\t'A file in /etc/tmpfiles.d that makes the spool'"
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from env" -l spool -d 'Where records go [default: /run/terrarium/spool; for sh and csh without one, a directory of the user\'s in memory]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from env" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from env" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what a process has loaded'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from help" -f -a "env" -d 'Print what switches tracking on for more than one run: a shell, a site'
complete -c terrarium -n "__fish_terrarium_using_subcommand track; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l every -d 'How often' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l spool -d 'Where records are [default: TERRARIUM_SPOOL; for root that of the site, for others those of the site and their own]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l segments -d 'Where segments go, and are taken from [default: /var/lib/terrarium/segments for root, else ~/.local/share/terrarium/segments]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l store -d 'Commit segments to this store: a directory, or s3://BUCKET/PREFIX. With --segments and without --spool nothing else is done: that is the collector of a cluster' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l send -d 'Send segments to a collector that listens, http://HOST:PORT, and remove those that it has' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l listen -d 'Take segments from nodes at this address, such as 127.0.0.1:7411, and put them to --segments' -r
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l token-file -d 'A file with the secret that --send and --listen share; nobody else may read it' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l rules -d 'Rules of the site [default: /etc/terrarium/site.toml, if it is there]' -r -F
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l once -d 'Collect what is there, and end [default]'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l daemon -d 'Collect every --every, until SIGTERM'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l dry-run -d 'Show which rule catches what in the spool; collect nothing'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -l json -d 'Print JSON, an object for each look (schema terrarium.collect/1)'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand store" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand report" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand import" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect-reader" -s h -l help -d 'Print help'
complete -c terrarium -n "__fish_terrarium_using_subcommand collect-reader" -s V -l version -d 'Print version'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "run" -d 'Run a command so that nothing of it survives, inside limits that hold'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "reap" -d 'List what earlier jobs left on this node, and end what was terrarium\'s'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "show" -d 'Show what was recorded of a job: charts in the terminal, a page, pictures'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "top" -d 'The jobs of this node, live'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "trial" -d 'A short run that says what to ask for'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "advise" -d 'What to ask for next time, from earlier runs of the same command'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "limits" -d 'Measure which limits on memory, CPUs and processes hold on this node'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "limits-worker" -d 'Takes memory, for `limits`'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "kernel" -d 'Make Jupyter kernels that run in a jail'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "track" -d 'Which libraries the Python processes of a job have loaded'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "collect" -d 'Turn records into segments, and segments into tables'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "store" -d 'The tables: check, compact, rollup, expire, forget, sql, schema'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "report" -d 'What a centre asks: which libraries, by whom, in which jobs, from where; `list` lists 29 questions'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "import" -d 'Bring in what sites already have: XALT, Customs, snapshots, accounting'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "collect-reader" -d 'Reads what environments hold, for `collect`'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and not __fish_seen_subcommand_from run reap show top trial advise limits limits-worker kernel track collect store report import collect-reader help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and __fish_seen_subcommand_from kernel" -f -a "install" -d 'Write a kernel spec whose kernels run in a jail'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and __fish_seen_subcommand_from kernel" -f -a "list" -d 'List terrarium\'s kernel specs, where Jupyter would look for them'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and __fish_seen_subcommand_from kernel" -f -a "remove" -d 'Remove a kernel spec of terrarium\'s; no other is touched'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and __fish_seen_subcommand_from track" -f -a "show" -d 'Show what a process has loaded'
complete -c terrarium -n "__fish_terrarium_using_subcommand help; and __fish_seen_subcommand_from track" -f -a "env" -d 'Print what switches tracking on for more than one run: a shell, a site'
