#!/usr/bin/env bash
# A Ray head on this machine, to submit runs to. Its dashboard listens only on loopback, and it requires a token.
#
#   cluster/local.sh start                  # options of `ray start` may follow, such as --num-gpus 2
#   cluster/local.sh stop                   # ends the processes of this head, and nobody else's
#   AUTH=disabled cluster/local.sh start    # requires no token: only for a machine that nobody else can reach
#   PORT=6380 DASHBOARD_PORT=8266 cluster/local.sh start    # a second one; `stop` needs its PORT too
set -euo pipefail

port=${PORT:-6379}
dashboard=${DASHBOARD_PORT:-8265}
auth=${AUTH:-token}
cores=$(getconf _NPROCESSORS_ONLN)
cpus=${CPUS:-$((cores > 4 ? cores : 4))} # logical, so may exceed the cores: a recipe counts one CPU per process
folder=/tmp/taskprompt-$(id -u)-$port    # short, since socket paths have a length limit

ray=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/ray
[ -x "$ray" ] || ray=$(command -v ray) || {
  echo "local.sh: no ray in .venv/bin or on PATH. Run: make setup" >&2
  exit 2
}

refuse() {
  echo "local.sh: $1" >&2
  exit 2
}

# The head and all processes that it starts are one process group, identified by the id of the first process. Since ids
# are reused, the group is ours only if a command line in it contains the folder.
group() { [ -f "$folder/pid" ] && cat "$folder/pid"; }
runs() { [ -n "$(group)" ] && pgrep -g "$(group)" -f -- "$folder/" >/dev/null; }

start() {
  [ "$auth" = token ] || [ "$auth" = disabled ] || refuse "AUTH is '$auth', expected token or disabled."
  ! runs || refuse "a head runs on port $port already. Stop it (PORT=$port cluster/local.sh stop), or choose another PORT."
  local taken
  for taken in "$port" "$dashboard"; do # Ray would silently use the next free port for the dashboard
    ! (exec 3<>"/dev/tcp/127.0.0.1/$taken") 2>/dev/null || refuse "port $taken is taken. Choose PORT and DASHBOARD_PORT."
  done
  rm -rf "$folder"
  mkdir -m 700 "$folder" || refuse "$folder belongs to another user. Choose another PORT."
  export RAY_AUTH_MODE=$auth RAY_USAGE_STATS_ENABLED=0
  export RAY_worker_niceness=0 # data tasks lower their own priority; Ray's default of 15 would slow down training, too
  [ "$auth" = disabled ] || "$ray" get-auth-token --generate >/dev/null 2>"$folder/log" ||
    refuse "there is no token, and none can be made: $(tail -n 1 "$folder/log") Look at RAY_AUTH_TOKEN_PATH."

  local token=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
  [ ! -f "$token" ] || chmod go= "$token" # the file that Ray creates is readable by all users

  set -m # job control: a group of its own
  "$ray" start --head --block --port "$port" --dashboard-host 127.0.0.1 --dashboard-port "$dashboard" \
    --ray-client-server-port $((port + 14000)) --dashboard-agent-listen-port 0 --num-cpus "$cpus" --temp-dir "$folder/ray" "$@" >"$folder/log" 2>&1 </dev/null &
  echo $! >"$folder/pid"
  for _ in $(seq 240); do
    grep -q "Ray runtime started" "$folder/log" && break
    runs || break
    sleep 0.5
  done
  runs && grep -q "Ray runtime started" "$folder/log" || {
    tail -n 5 "$folder/log" >&2
    rm -rf "$folder"
    refuse "Ray did not start; its log is above."
  }
  echo "A head with $cpus logical CPUs runs. In every terminal that uses it:"
  echo "  export RAY_AUTH_MODE=$auth"
  echo "Submit to    --address http://127.0.0.1:$dashboard  (also the dashboard)"
  echo "or train on  --cluster 127.0.0.1:$port"
  echo "Stop it with PORT=$port cluster/local.sh stop"
}

# The processes of the group, those given as arguments, and all their descendants: a job is in its own group.
family() {
  ps -eo pid=,ppid=,pgid=,stat= | awk -v group="$(group)" -v named="$*" '
    BEGIN { count = split(named, names, " "); for (i = 1; i <= count; i++) mine[names[i]] = 1 }
    { parent[$1] = $2; if ($3 == group) mine[$1] = 1; if ($4 ~ /^Z/) dead[$1] = 1 }
    END {
      do { found = 0; for (p in parent) if (!mine[p] && mine[parent[p]]) found = mine[p] = 1 } while (found)
      for (p in parent) if (mine[p] && !dead[p]) printf "%s ", p
    }'
}

stop() {
  runs || refuse "no head that this script started runs on port $port. Set PORT to the one it was started with."
  local left
  left=$(family)
  kill -TERM "$(group)" 2>/dev/null || true
  for _ in $(seq 20); do
    left=$(family "$left")
    [ -n "$left" ] || break
    sleep 0.5
  done
  # shellcheck disable=SC2086 # a list of numbers
  [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
  rm -rf "$folder"
  echo "The head on port $port is stopped."
}

case ${1:-} in
start) shift && start "$@" ;;
stop) stop ;;
*) refuse "found '${1:-}', expected start or stop." ;;
esac
