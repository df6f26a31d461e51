#!/bin/sh
# One night: brings everything up to date, then removes artifacts that nothing refers to.
# ctpipe.service and the crontab run this; by hand: deploy/nightly.sh [PROJECT]
#
# CTPIPE      the program (default: ctpipe, from the PATH)
# CTPIPE_LOG  the events of all nights, one per line (default: artifacts/nightly.jsonl)
# KEEP_RUNS   runs whose artifacts are kept (default: 30)
#
# The exit code is that of "ctpipe run", and of "ctpipe gc" if the run succeeded. After a failed run
# nothing is collected: the user will want to look at it.
set -eu

cd "${1:-$(dirname "$0")/..}"
ctpipe=${CTPIPE:-ctpipe}
log=${CTPIPE_LOG:-artifacts/nightly.jsonl}
mkdir -p "$(dirname "$log")"
# Each run also keeps its events in artifacts/runs/, so one older part of the log is enough.
if [ -n "$(find "$log" -size +20000k 2>/dev/null)" ]; then
  mv "$log" "$log.1"
fi

# SIGTERM is passed on to ctpipe once, and the script waits for it: a training writes its checkpoint
# before it ends. Ctrl-C reaches ctpipe directly.
child=
stopped=
passed_on=
pass_on() {
  if [ -n "$child" ] && [ -z "$passed_on" ]; then
    passed_on=1
    kill -TERM "$child" 2>/dev/null || true
  fi
}
trap 'stopped=1; pass_on' TERM
trap 'stopped=1' INT

step() {
  [ -z "$stopped" ] || return 130
  "$@" &
  child=$!
  [ -z "$stopped" ] || pass_on
  code=0
  wait "$child" || code=$?
  # A signal ends `wait` before the process has ended.
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
  done
  child=
  return "$code"
}

step "$ctpipe" run --json >> "$log"
# The list of removed artifacts goes to the journal.
step "$ctpipe" gc --keep-runs "${KEEP_RUNS:-30}"
