#compdef terrarium

autoload -U is-at-least

_terrarium() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_terrarium_commands" \
"*::: :->terrarium" \
&& ret=0
    case $state in
    (terrarium)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-command-$line[1]:"
        case $line[1] in
            (run)
_arguments "${_arguments_options[@]}" : \
'--mem=[Memory of the job as a whole, such as 4G]:SIZE:_default' \
'--swap=[Swap on top of --mem \[default\: 0\]]:SIZE:_default' \
'--cpus=[CPUs\: how many (2) or which (0-3,8; \`3,\` is CPU 3 alone)]:N|LIST:_default' \
'--pids=[Most processes and threads at once]:N:_default' \
'--time=[Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace]:TIME:_default' \
'--grace=[From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never]:TIME:_default' \
'--kill-wait=[How long to wait for killed processes to be gone before naming them as survivors]:TIME:_default' \
'--orphans=[Processes whose parent has died while the command runs\: end them after --grace, or keep them]:end|keep:((end\:"End them, with what descends from them, after --grace"
keep\:"Leave them alone until the job ends"))' \
'--gpus=[GPUs\: none, or indices such as 0,1 within those visible now]:none|LIST:_default' \
'--threads=[Threads that numerical libraries start in each process\: auto (the job'\''s CPUs), a number, or off]:auto|N|off:_default' \
'--net=[Network\: the host'\''s, or none but the job'\''s own loopback]:host|none:((host\:"The host'\''s network"
none\:"Only the job'\''s own loopback"))' \
'*--only=[Show nothing but PATH (with \:ro, read-only) and what programs need to run; can be repeated]:PATH[:ro]:_default' \
'*--bind=[Show SRC at DST (at SRC if not given), also where something else is hidden]:SRC[:DST]:_default' \
'*--ro=[Make PATH and all below it read-only]:PATH:_files' \
'*--hide=[Make PATH empty and unreadable]:PATH:_files' \
'--shm=[Size of the job'\''s own /dev/shm \[default\: --mem, or half of the node'\''s memory\]; or share the host'\''s]:SIZE|host:_default' \
'--require=[Refuse to start in a weaker tier\: root, userns or ptrace]:TIER:_default' \
'--report=[Write the summary as JSON to this file]:FILE:_files' \
'(--no-record)--record=[Record a time series of what the job uses in this file (Arrow; see \`terrarium show\`)]:FILE:_files' \
'--interval=[Time from look to look at the job, from 100ms to 1h]:TIME:_default' \
'--summary=[The summary at the end\: full, one line, or none]:full|line|none:((full\:"What the job used and left"
line\:"The same in one line, for logs"
none\:"None; notes are still written"))' \
'--require-mem[Refuse to start if --mem cannot be enforced for the job as a whole]' \
'--with-parent[End the job, as by SIGTERM, when the process that started terrarium ends]' \
'--private-tmp[Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm]' \
'--clean-shm[With --shm host\: delete what the job left there, unless a process outside holds it]' \
'--no-new-privileges[No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users]' \
'--no-record[Keep neither a series nor a line in the history]' \
'--no-track[Do not record which libraries the job'\''s processes load]' \
'--dry-run[Print what would be done, and start nothing]' \
'-q[No summary and no notes, only errors]' \
'--quiet[No summary and no notes, only errors]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::command -- The command to run, with its arguments:_default' \
&& ret=0
;;
(reap)
_arguments "${_arguments_options[@]}" : \
'--job=[Only what this run left]:ID:_default' \
'--user=[Only what belongs to this user (name or number)]:USER:_default' \
'-n[List only, end nothing]' \
'--dry-run[List only, end nothing]' \
'--clean-shm[Also delete files in /dev/shm and System V objects that nobody uses; needs --user unless you are an ordinary user]' \
'--json[Print JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--html=[Write one page with all charts and tables, which needs nothing else; \`-\` is stdout]:FILE:_files' \
'--svg=[Write each chart as a picture into this directory]:DIR:_files' \
'--csv=[Write all looks as CSV, an empty cell for no data; \`-\` is stdout]:FILE:_files' \
'--json[Print lowest, mean, 95th percentile, highest and total of each metric as JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::file -- A series that `terrarium run --record` wrote, or the name of a job in the history \[default\: the last run that has a series there\]:_files' \
&& ret=0
;;
(top)
_arguments "${_arguments_options[@]}" : \
'-i+[Time from look to look \[default\: 2s, with --once and --json 1s\]]:TIME:_default' \
'--interval=[Time from look to look \[default\: 2s, with --once and --json 1s\]]:TIME:_default' \
'--user=[Only jobs of this user (name or number)]:USER:_default' \
'--job=[Only this job (its name, or the PID that the table shows), with its processes]:ID:_default' \
'--once[Print one table and end\: also done where standard input or output is no terminal]' \
'--json[Print JSON, once (schema terrarium.top/1)]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(trial)
_arguments "${_arguments_options[@]}" : \
'--batch=[Lines of a batch script for this system \[default\: the one whose commands are here, else all\]]:slurm|pbs|lsf|all|none:((slurm\:"#SBATCH"
pbs\:"#PBS"
lsf\:"#BSUB"
all\:"All of them"
none\:"None"))' \
'--mem=[Memory of the job as a whole, such as 4G]:SIZE:_default' \
'--swap=[Swap on top of --mem \[default\: 0\]]:SIZE:_default' \
'--cpus=[CPUs\: how many (2) or which (0-3,8; \`3,\` is CPU 3 alone)]:N|LIST:_default' \
'--pids=[Most processes and threads at once]:N:_default' \
'--time=[Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace]:TIME:_default' \
'--grace=[From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never]:TIME:_default' \
'--kill-wait=[How long to wait for killed processes to be gone before naming them as survivors]:TIME:_default' \
'--orphans=[Processes whose parent has died while the command runs\: end them after --grace, or keep them]:end|keep:((end\:"End them, with what descends from them, after --grace"
keep\:"Leave them alone until the job ends"))' \
'--gpus=[GPUs\: none, or indices such as 0,1 within those visible now]:none|LIST:_default' \
'--threads=[Threads that numerical libraries start in each process\: auto (the job'\''s CPUs), a number, or off]:auto|N|off:_default' \
'--net=[Network\: the host'\''s, or none but the job'\''s own loopback]:host|none:((host\:"The host'\''s network"
none\:"Only the job'\''s own loopback"))' \
'*--only=[Show nothing but PATH (with \:ro, read-only) and what programs need to run; can be repeated]:PATH[:ro]:_default' \
'*--bind=[Show SRC at DST (at SRC if not given), also where something else is hidden]:SRC[:DST]:_default' \
'*--ro=[Make PATH and all below it read-only]:PATH:_files' \
'*--hide=[Make PATH empty and unreadable]:PATH:_files' \
'--shm=[Size of the job'\''s own /dev/shm \[default\: --mem, or half of the node'\''s memory\]; or share the host'\''s]:SIZE|host:_default' \
'--require=[Refuse to start in a weaker tier\: root, userns or ptrace]:TIER:_default' \
'--report=[Write the summary as JSON to this file]:FILE:_files' \
'(--no-record)--record=[Record a time series of what the job uses in this file (Arrow; see \`terrarium show\`)]:FILE:_files' \
'--interval=[Time from look to look at the job, from 100ms to 1h]:TIME:_default' \
'--summary=[The summary at the end\: full, one line, or none]:full|line|none:((full\:"What the job used and left"
line\:"The same in one line, for logs"
none\:"None; notes are still written"))' \
'--json[Print JSON]' \
'--require-mem[Refuse to start if --mem cannot be enforced for the job as a whole]' \
'--with-parent[End the job, as by SIGTERM, when the process that started terrarium ends]' \
'--private-tmp[Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm]' \
'--clean-shm[With --shm host\: delete what the job left there, unless a process outside holds it]' \
'--no-new-privileges[No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users]' \
'--no-record[Keep neither a series nor a line in the history]' \
'--no-track[Do not record which libraries the job'\''s processes load]' \
'--dry-run[Print what would be done, and start nothing]' \
'-q[No summary and no notes, only errors]' \
'--quiet[No summary and no notes, only errors]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::command -- The command to run, with its arguments:_default' \
&& ret=0
;;
(advise)
_arguments "${_arguments_options[@]}" : \
'--last=[Only from the last N runs]:N:_default' \
'*--job=[Only from this run; can be repeated]:ID:_default' \
'--history=[Directory of the history \[default\: TERRARIUM_HISTORY, or terrarium/history in XDG_DATA_HOME or ~/.local/share\]]:DIR:_files' \
'--batch=[Lines of a batch script for this system \[default\: the one whose commands are here, else all\]]:slurm|pbs|lsf|all|none:((slurm\:"#SBATCH"
pbs\:"#PBS"
lsf\:"#BSUB"
all\:"All of them"
none\:"None"))' \
'--json[Print JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::command -- The command, with its arguments \[default\: the one that ran last\]:_default' \
&& ret=0
;;
(limits)
_arguments "${_arguments_options[@]}" : \
'--limit=[The limit to try; up to four times as much is taken, for a moment \[default\: 128M, or what fits\]]:SIZE:_default' \
'*--only=[Only this way of taking memory, this limit, or one of the other tables; can be repeated]:WAY|LIMIT|WAY/LIMIT:_default' \
'-n[Say what would be tried, and try nothing]' \
'--dry-run[Say what would be tried, and try nothing]' \
'--json[Print JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(limits-worker)
_arguments "${_arguments_options[@]}" : \
'--unit=[The limit that it is about, in bytes]:UNIT:_default' \
'--resource=[A resource limit to set before\: m, d, v or u]:RESOURCE:_default' \
'--value=[Its value]:VALUE:_default' \
'--python=[The interpreter, for Python]:PYTHON:_files' \
'*--cpus=[CPUs to ask for]:CPUS:_default' \
'--again[The stack limit was raised already]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':what -- What to do:_default' \
':amount -- How much\: bytes, or processes:_default' \
&& ret=0
;;
(kernel)
_arguments "${_arguments_options[@]}" : \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_terrarium__subcmd__kernel_commands" \
"*::: :->kernel" \
&& ret=0

    case $state in
    (kernel)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-kernel-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
'--name=[Name of the kernel spec\: lower-case letters, digits, \`-\`, \`_\` and \`.\`]:NAME:_default' \
'--display-name=[What Jupyter shows \[default\: Python and its version, with NAME\]]:TEXT:_default' \
'--python=[The Python of the kernels; it needs ipykernel \[default\: python3 in PATH\]]:PATH:_files' \
'--prefix=[For all who use this prefix\: DIR/share/jupyter; /usr/local is for all users of the machine]:DIR:_files' \
'--mem=[Memory of the job as a whole, such as 4G]:SIZE:_default' \
'--swap=[Swap on top of --mem \[default\: 0\]]:SIZE:_default' \
'--cpus=[CPUs\: how many (2) or which (0-3,8; \`3,\` is CPU 3 alone)]:N|LIST:_default' \
'--pids=[Most processes and threads at once]:N:_default' \
'--time=[Wall-clock time, such as 1h30m; then SIGTERM, and SIGKILL after --grace]:TIME:_default' \
'--grace=[From SIGTERM (by the time limit, or sent to terrarium) to SIGKILL; or never]:TIME:_default' \
'--kill-wait=[How long to wait for killed processes to be gone before naming them as survivors]:TIME:_default' \
'--orphans=[Processes whose parent has died while the command runs\: end them after --grace, or keep them]:end|keep:((end\:"End them, with what descends from them, after --grace"
keep\:"Leave them alone until the job ends"))' \
'--gpus=[GPUs\: none, or indices such as 0,1 within those visible now]:none|LIST:_default' \
'--threads=[Threads that numerical libraries start in each process\: auto (the job'\''s CPUs), a number, or off]:auto|N|off:_default' \
'--net=[Network\: the host'\''s, or none but the job'\''s own loopback]:host|none:((host\:"The host'\''s network"
none\:"Only the job'\''s own loopback"))' \
'*--only=[Show nothing but PATH (with \:ro, read-only) and what programs need to run; can be repeated]:PATH[:ro]:_default' \
'*--bind=[Show SRC at DST (at SRC if not given), also where something else is hidden]:SRC[:DST]:_default' \
'*--ro=[Make PATH and all below it read-only]:PATH:_files' \
'*--hide=[Make PATH empty and unreadable]:PATH:_files' \
'--shm=[Size of the job'\''s own /dev/shm \[default\: --mem, or half of the node'\''s memory\]; or share the host'\''s]:SIZE|host:_default' \
'--require=[Refuse to start in a weaker tier\: root, userns or ptrace]:TIER:_default' \
'--report=[Write the summary as JSON to this file]:FILE:_files' \
'(--no-record)--record=[Record a time series of what the job uses in this file (Arrow; see \`terrarium show\`)]:FILE:_files' \
'--interval=[Time from look to look at the job, from 100ms to 1h]:TIME:_default' \
'--summary=[The summary at the end\: full, one line, or none]:full|line|none:((full\:"What the job used and left"
line\:"The same in one line, for logs"
none\:"None; notes are still written"))' \
'--replace[Replace a kernel spec of that name that is not terrarium'\''s]' \
'--user[For yourself\: JUPYTER_DATA_DIR, or jupyter below XDG_DATA_HOME or ~/.local/share; the default]' \
'--sys-prefix[In the environment of the Python\: its sys.prefix]' \
'--require-mem[Refuse to start if --mem cannot be enforced for the job as a whole]' \
'--with-parent[End the job, as by SIGTERM, when the process that started terrarium ends]' \
'--private-tmp[Give the job its own empty /tmp and /var/tmp, in memory, of the size of --shm]' \
'--clean-shm[With --shm host\: delete what the job left there, unless a process outside holds it]' \
'--no-new-privileges[No setuid program (sudo, apptainer) gives the job more rights; always so for ordinary users]' \
'--no-record[Keep neither a series nor a line in the history]' \
'--no-track[Do not record which libraries the job'\''s processes load]' \
'--dry-run[Print what would be done, and start nothing]' \
'-q[No summary and no notes, only errors]' \
'--quiet[No summary and no notes, only errors]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--prefix=[Look below this prefix only]:DIR:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'--prefix=[Look below this prefix only]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':name -- Name of the kernel spec:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_terrarium__subcmd__kernel__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-kernel-help-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(track)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_terrarium__subcmd__track_commands" \
"*::: :->track" \
&& ret=0

    case $state in
    (track)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-track-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
'--spool=[Where records are looked for \[default\: TERRARIUM_SPOOL, or those of the site and your own\]]:DIR:_files' \
'--modules[List every module, not only packages]' \
'--json[Print JSON, an object for each record (schema terrarium.track/1)]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::what -- A record, the PID of a process whose newest record is shown, or a directory of records \[default\: the newest in the spools\]:_files' \
&& ret=0
;;
(env)
_arguments "${_arguments_options[@]}" : \
'--format=[For what]:FORMAT:((sh\:"A shell of the Bourne family, by eval"
csh\:"csh and tcsh, by source"
module\:"A module file in Tcl (Environment Modules, Lmod)"
lmod\:"A module file in Lua (Lmod)"
profile.d\:"A file in /etc/profile.d"
ld.so.preload\:"/etc/ld.so.preload\: every process of the machine"
slurm\:"A TaskProlog of Slurm"
tmpfiles\:"A file in /etc/tmpfiles.d that makes the spool"))' \
'--spool=[Where records go \[default\: /run/terrarium/spool; for sh and csh without one, a directory of the user'\''s in memory\]]:DIR:_files' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_terrarium__subcmd__track__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-track-help-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(env)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(collect)
_arguments "${_arguments_options[@]}" : \
'--every=[How often]:TIME:_default' \
'*--spool=[Where records are \[default\: TERRARIUM_SPOOL; for root that of the site, for others those of the site and their own\]]:DIR:_files' \
'--segments=[Where segments go, and are taken from \[default\: /var/lib/terrarium/segments for root, else ~/.local/share/terrarium/segments\]]:DIR:_files' \
'--store=[Commit segments to this store\: a directory, or s3\://BUCKET/PREFIX. With --segments and without --spool nothing else is done\: that is the collector of a cluster]:URL:_default' \
'(--store)--send=[Send segments to a collector that listens, http\://HOST\:PORT, and remove those that it has]:URL:_default' \
'(--send --spool --once --daemon)--listen=[Take segments from nodes at this address, such as 127.0.0.1\:7411, and put them to --segments]:ADDRESS:_default' \
'--token-file=[A file with the secret that --send and --listen share; nobody else may read it]:FILE:_files' \
'--rules=[Rules of the site \[default\: /etc/terrarium/site.toml, if it is there\]]:FILE:_files' \
'(--daemon)--once[Collect what is there, and end \[default\]]' \
'--daemon[Collect every --every, until SIGTERM]' \
'(--daemon --store --send --listen)--dry-run[Show which rule catches what in the spool; collect nothing]' \
'--json[Print JSON, an object for each look (schema terrarium.collect/1)]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(store)
_arguments "${_arguments_options[@]}" : \
'-V[Print version]' \
'--version[Print version]' \
'*::rest -- For the engine; --help tells:_default' \
&& ret=0
;;
(report)
_arguments "${_arguments_options[@]}" : \
'-V[Print version]' \
'--version[Print version]' \
'*::rest -- For the engine; --help tells:_default' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'-V[Print version]' \
'--version[Print version]' \
'*::rest -- For the engine; --help tells:_default' \
&& ret=0
;;
(collect-reader)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_terrarium__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-help-command-$line[1]:"
        case $line[1] in
            (run)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reap)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(top)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(trial)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(advise)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(limits)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(limits-worker)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(kernel)
_arguments "${_arguments_options[@]}" : \
":: :_terrarium__subcmd__help__subcmd__kernel_commands" \
"*::: :->kernel" \
&& ret=0

    case $state in
    (kernel)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-help-kernel-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(track)
_arguments "${_arguments_options[@]}" : \
":: :_terrarium__subcmd__help__subcmd__track_commands" \
"*::: :->track" \
&& ret=0

    case $state in
    (track)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:terrarium-help-track-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(env)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(collect)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(store)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(report)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(collect-reader)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_terrarium_commands] )) ||
_terrarium_commands() {
    local commands; commands=(
'run:Run a command so that nothing of it survives, inside limits that hold' \
'reap:List what earlier jobs left on this node, and end what was terrarium'\''s' \
'show:Show what was recorded of a job\: charts in the terminal, a page, pictures' \
'top:The jobs of this node, live' \
'trial:A short run that says what to ask for' \
'advise:What to ask for next time, from earlier runs of the same command' \
'limits:Measure which limits on memory, CPUs and processes hold on this node' \
'limits-worker:Takes memory, for \`limits\`' \
'kernel:Make Jupyter kernels that run in a jail' \
'track:Which libraries the Python processes of a job have loaded' \
'collect:Turn records into segments, and segments into tables' \
'store:The tables\: check, compact, rollup, expire, forget, sql, schema' \
'report:What a centre asks\: which libraries, by whom, in which jobs, from where; \`list\` lists 29 questions' \
'import:Bring in what sites already have\: XALT, Customs, snapshots, accounting' \
'collect-reader:Reads what environments hold, for \`collect\`' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__advise_commands] )) ||
_terrarium__subcmd__advise_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium advise commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__collect_commands] )) ||
_terrarium__subcmd__collect_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium collect commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__collect-reader_commands] )) ||
_terrarium__subcmd__collect-reader_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium collect-reader commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help_commands] )) ||
_terrarium__subcmd__help_commands() {
    local commands; commands=(
'run:Run a command so that nothing of it survives, inside limits that hold' \
'reap:List what earlier jobs left on this node, and end what was terrarium'\''s' \
'show:Show what was recorded of a job\: charts in the terminal, a page, pictures' \
'top:The jobs of this node, live' \
'trial:A short run that says what to ask for' \
'advise:What to ask for next time, from earlier runs of the same command' \
'limits:Measure which limits on memory, CPUs and processes hold on this node' \
'limits-worker:Takes memory, for \`limits\`' \
'kernel:Make Jupyter kernels that run in a jail' \
'track:Which libraries the Python processes of a job have loaded' \
'collect:Turn records into segments, and segments into tables' \
'store:The tables\: check, compact, rollup, expire, forget, sql, schema' \
'report:What a centre asks\: which libraries, by whom, in which jobs, from where; \`list\` lists 29 questions' \
'import:Bring in what sites already have\: XALT, Customs, snapshots, accounting' \
'collect-reader:Reads what environments hold, for \`collect\`' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__advise_commands] )) ||
_terrarium__subcmd__help__subcmd__advise_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help advise commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__collect_commands] )) ||
_terrarium__subcmd__help__subcmd__collect_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help collect commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__collect-reader_commands] )) ||
_terrarium__subcmd__help__subcmd__collect-reader_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help collect-reader commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__help_commands] )) ||
_terrarium__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__import_commands] )) ||
_terrarium__subcmd__help__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help import commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__kernel_commands] )) ||
_terrarium__subcmd__help__subcmd__kernel_commands() {
    local commands; commands=(
'install:Write a kernel spec whose kernels run in a jail' \
'list:List terrarium'\''s kernel specs, where Jupyter would look for them' \
'remove:Remove a kernel spec of terrarium'\''s; no other is touched' \
    )
    _describe -t commands 'terrarium help kernel commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__kernel__subcmd__install_commands] )) ||
_terrarium__subcmd__help__subcmd__kernel__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help kernel install commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__kernel__subcmd__list_commands] )) ||
_terrarium__subcmd__help__subcmd__kernel__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help kernel list commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__kernel__subcmd__remove_commands] )) ||
_terrarium__subcmd__help__subcmd__kernel__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help kernel remove commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__limits_commands] )) ||
_terrarium__subcmd__help__subcmd__limits_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help limits commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__limits-worker_commands] )) ||
_terrarium__subcmd__help__subcmd__limits-worker_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help limits-worker commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__reap_commands] )) ||
_terrarium__subcmd__help__subcmd__reap_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help reap commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__report_commands] )) ||
_terrarium__subcmd__help__subcmd__report_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help report commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__run_commands] )) ||
_terrarium__subcmd__help__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help run commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__show_commands] )) ||
_terrarium__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help show commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__store_commands] )) ||
_terrarium__subcmd__help__subcmd__store_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help store commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__top_commands] )) ||
_terrarium__subcmd__help__subcmd__top_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help top commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__track_commands] )) ||
_terrarium__subcmd__help__subcmd__track_commands() {
    local commands; commands=(
'show:Show what a process has loaded' \
'env:Print what switches tracking on for more than one run\: a shell, a site' \
    )
    _describe -t commands 'terrarium help track commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__track__subcmd__env_commands] )) ||
_terrarium__subcmd__help__subcmd__track__subcmd__env_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help track env commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__track__subcmd__show_commands] )) ||
_terrarium__subcmd__help__subcmd__track__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help track show commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__help__subcmd__trial_commands] )) ||
_terrarium__subcmd__help__subcmd__trial_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium help trial commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__import_commands] )) ||
_terrarium__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium import commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel_commands] )) ||
_terrarium__subcmd__kernel_commands() {
    local commands; commands=(
'install:Write a kernel spec whose kernels run in a jail' \
'list:List terrarium'\''s kernel specs, where Jupyter would look for them' \
'remove:Remove a kernel spec of terrarium'\''s; no other is touched' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium kernel commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__help_commands] )) ||
_terrarium__subcmd__kernel__subcmd__help_commands() {
    local commands; commands=(
'install:Write a kernel spec whose kernels run in a jail' \
'list:List terrarium'\''s kernel specs, where Jupyter would look for them' \
'remove:Remove a kernel spec of terrarium'\''s; no other is touched' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium kernel help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__help__subcmd__help_commands] )) ||
_terrarium__subcmd__kernel__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel help help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__help__subcmd__install_commands] )) ||
_terrarium__subcmd__kernel__subcmd__help__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel help install commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__help__subcmd__list_commands] )) ||
_terrarium__subcmd__kernel__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel help list commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__help__subcmd__remove_commands] )) ||
_terrarium__subcmd__kernel__subcmd__help__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel help remove commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__install_commands] )) ||
_terrarium__subcmd__kernel__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel install commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__list_commands] )) ||
_terrarium__subcmd__kernel__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel list commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__kernel__subcmd__remove_commands] )) ||
_terrarium__subcmd__kernel__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium kernel remove commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__limits_commands] )) ||
_terrarium__subcmd__limits_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium limits commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__limits-worker_commands] )) ||
_terrarium__subcmd__limits-worker_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium limits-worker commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__reap_commands] )) ||
_terrarium__subcmd__reap_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium reap commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__report_commands] )) ||
_terrarium__subcmd__report_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium report commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__run_commands] )) ||
_terrarium__subcmd__run_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium run commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__show_commands] )) ||
_terrarium__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium show commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__store_commands] )) ||
_terrarium__subcmd__store_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium store commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__top_commands] )) ||
_terrarium__subcmd__top_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium top commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track_commands] )) ||
_terrarium__subcmd__track_commands() {
    local commands; commands=(
'show:Show what a process has loaded' \
'env:Print what switches tracking on for more than one run\: a shell, a site' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium track commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__env_commands] )) ||
_terrarium__subcmd__track__subcmd__env_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium track env commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__help_commands] )) ||
_terrarium__subcmd__track__subcmd__help_commands() {
    local commands; commands=(
'show:Show what a process has loaded' \
'env:Print what switches tracking on for more than one run\: a shell, a site' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'terrarium track help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__help__subcmd__env_commands] )) ||
_terrarium__subcmd__track__subcmd__help__subcmd__env_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium track help env commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__help__subcmd__help_commands] )) ||
_terrarium__subcmd__track__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium track help help commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__help__subcmd__show_commands] )) ||
_terrarium__subcmd__track__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium track help show commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__track__subcmd__show_commands] )) ||
_terrarium__subcmd__track__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium track show commands' commands "$@"
}
(( $+functions[_terrarium__subcmd__trial_commands] )) ||
_terrarium__subcmd__trial_commands() {
    local commands; commands=()
    _describe -t commands 'terrarium trial commands' commands "$@"
}

if [ "$funcstack[1]" = "_terrarium" ]; then
    _terrarium "$@"
else
    compdef _terrarium terrarium
fi
