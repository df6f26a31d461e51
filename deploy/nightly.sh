#!/bin/sh
# One night: bring everything up to date, then give back the disk of what nothing refers to.
# ctpipe.service and the crontab run this; by hand: deploy/nightly.sh [PROJECT]
#
# CTPIPE      the program (default: ctpipe, from the PATH)
# CTPIPE_LOG  the events of all nights, a line each (default: artifacts/nightly.jsonl)
# KEEP_RUNS   runs whose artifacts are kept (default: 30)
#
# The exit code is that of "ctpipe run", and of "ctpipe gc" where the run succeeded. After a run that failed nothing is
# collected: somebody will want to look.
set -eu

cd "${1:-$(dirname "$0")/..}"
ctpipe=${CTPIPE:-ctpipe}
log=${CTPIPE_LOG:-artifacts/nightly.jsonl}
mkdir -p "$(dirname "$log")"
# Each run keeps its events in artifacts/runs/, too: of the log one older piece is enough.
if [ -n "$(find "$log" -size +20000k 2>/dev/null)" ]; then
  mv "$log" "$log.1"
fi

# SIGTERM is passed on to ctpipe, once, and waited for: a training writes its checkpoint before it ends. Ctrl-C reaches
# ctpipe by itself.
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
  # A signal ends a wait before its process has ended.
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
  done
  child=
  return "$code"
}

step "$ctpipe" run --json >> "$log"
# What was collected is for the journal.
step "$ctpipe" gc --keep-runs "${KEEP_RUNS:-30}"
