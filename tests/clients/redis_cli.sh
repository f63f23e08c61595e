#!/usr/bin/env bash
# What redis-cli does on streamlog: `redis_cli.sh HOST PORT`, in both protocols.
set -euo pipefail

host=$1 port=$2
cli=(redis-cli -h "$host" -p "$port")

# In RESP3 a map's names and values are on one line: a blank is as good as the end of a line.
lines() {
  printf '%s' "${*// /$'\n'}"
}

# is WANT ARG...: what redis-cli prints for a command.
is() {
  local want=$1 got
  shift
  got=$("${cli[@]}" "$@")
  [[ $(lines "$got") == $(lines "$want") ]] || { printf '%s:\nwant %s\ngot  %s\n' "$*" "$want" "$got" >&2 && exit 1; }
}

# has PART ARG...
has() {
  local part=$1 got
  shift
  got=$("${cli[@]}" "$@")
  [[ $(lines "$got") == *$(lines "$part")* ]] || { printf '%s:\nwithout %s:\n%s\n' "$*" "$part" "$got" >&2 && exit 1; }
}

# Until a client waits.
blocked() {
  while ! "${cli[@]}" INFO clients | grep -q '^blocked_clients:1'; do sleep 0.02; done
}

groups() {
  is OK XGROUP CREATE orders workers 0 MKSTREAM
  has BUSYGROUP XGROUP CREATE orders workers 0
  is 5-1 XADD orders 5-1 n 1
  is 6-1 XADD orders 6-1 n 2
  is $'orders\n5-1\nn\n1' XREADGROUP GROUP workers one COUNT 1 STREAMS orders '>'
  is 1 XACK orders workers 5-1
  is $'orders\n6-1\nn\n2' XREADGROUP GROUP workers one COUNT 1 STREAMS orders '>'
  is $'1\n6-1\n6-1\none\n1' XPENDING orders workers
  has $'last-delivered-id\n6-1' XINFO GROUPS orders
}

claims() {
  is $'6-1\nn\n2' XCLAIM orders workers two 0 6-1
  is '' XCLAIM orders workers two 3600000 6-1
  is $'0-0\n6-1' XAUTOCLAIM orders workers three 0 0 JUSTID
}

blocking() {
  local waiting
  waiting=$(mktemp)
  "${cli[@]}" XREAD BLOCK 0 STREAMS news '$' >"$waiting" &
  blocked
  is 7-1 XADD news 7-1 text hello
  wait $!
  [[ $(lines "$(<"$waiting")") == $'news\n7-1\ntext\nhello' ]] || { cat "$waiting" >&2 && exit 1; }
  rm "$waiting"
  is '' XREAD BLOCK 20 STREAMS news '$'
}

transactions() {
  local got
  got=$(printf '%s\n' MULTI 'XADD left 1-1 n 1' 'XADD right 1-1 n 1' EXEC 'WATCH left' | "${cli[@]}")
  [[ $got == $'OK\nQUEUED\nQUEUED\n1-1\n1-1\nOK' ]] || { echo "$got" >&2 && exit 1; }
}

# Bytes as they go over the wire, many commands at once; then commands on lines, in quotes.
pipelines() {
  local got n
  got=$(for n in {1..500}; do
    printf '*5\r\n$4\r\nXADD\r\n$4\r\nmany\r\n$%d\r\n%d-1\r\n$1\r\nn\r\n$1\r\nx\r\n' $((${#n} + 2)) "$n"
  done | "${cli[@]}" --pipe)
  [[ $got == *"errors: 0, replies: 500"* ]] || { echo "$got" >&2 && exit 1; }
  is 500 XLEN many
  is many --scan --pattern 'man*'
  got=$(echo 'XADD many 501-1 "a \"name\"" "two\nlines"' | "${cli[@]}")
  [[ $got == 501-1 ]] || { echo "$got" >&2 && exit 1; }
  is $'501-1\na "name"\ntwo\nlines' XREVRANGE many + - COUNT 1
}

# A redis-cli that has asked before the restart asks again after it: what it asks first it loses with its old connection.
reconnecting() {
  local answer=none try
  coproc "${cli[@]}" 2>/dev/null
  echo 'XADD kept 9-1 n 1' >&"${COPROC[1]}"
  read -r answer <&"${COPROC[0]}"
  [[ $answer == 9-1 ]]
  echo restart
  read -r
  for try in {1..30}; do
    echo 'XLEN kept' >&"${COPROC[1]}"
    if read -r -t 1 answer <&"${COPROC[0]}" && [[ $answer == 1 ]]; then break; fi
  done
  [[ $answer == 1 ]] || { echo "after $try tries: $answer" >&2 && exit 1; }
  kill "$COPROC_PID"
  wait "$COPROC_PID" || true
}

for protocol in -2 -3; do
  cli=(redis-cli -h "$host" -p "$port" "$protocol")
  is PONG PING
  is OK FLUSHALL
  groups
  claims
  blocking
  transactions
  pipelines
  reconnecting
done
# Whoever types looks up what there is.
has xadd COMMAND LIST
has redis_version INFO server
echo "all is well"
