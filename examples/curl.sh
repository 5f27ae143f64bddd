#!/usr/bin/env bash
# Follow streams with curl, one event (JSON) per line. After an interruption, also of this script, it resumes after the
# last event that it received.
#
#   ./curl.sh [URL [FILE]]
#
# FILE keeps the id of the last event; without that file, streaming starts now. Use one file per URL.
set -u
url=${1:-http://127.0.0.1:8092/v2/stream/recentchange}
file=${2:-${0%.sh}.last-id}
curl=
wait=1
trap '[ -z "$curl" ] || kill "$curl" 2> /dev/null' EXIT

while true; do
  last_id=$(cat "$file" 2> /dev/null)
  exec 3< <(exec curl -sSN --connect-timeout 10 -w '\nstatus: %{http_code}\n' \
    -H 'Accept: text/event-stream' -H "Last-Event-ID: $last_id" "$url")
  curl=$!
  status='' event=message data=''

  # An idle server sends a keep-alive every 15 seconds: after 60 without one, the connection is dead.
  while IFS= read -r -t 60 -u 3 line; do
    case $line in
      'event: '*) event=${line#event: } ;;
      'id: '*) id=${line#id: } ;;
      'data: '*) data=${line#data: } ;;
      'retry: '*) wait=$(((${line#retry: } + 999) / 1000)) ;;
      'status: '*) status=${line#status: } ;;
      '{'*) printf '%s\n' "$line" >&2 ;; # an answer that is not a stream says why
      '')
        if [ -n "$data" ] && [ "$event" = error ]; then
          printf 'error from the server: %s\n' "$data" >&2 # it ends the stream now, and `retry` says when to reconnect
        elif [ "$event" = end ]; then # of `until` or `limit`
          printf '%s\n' "$id" > "$file.new" && mv -f "$file.new" "$file"
          exit 0
        elif [ -n "$data" ]; then
          case $data in
            *'"domain":"canary"'* | *'"domain": "canary"'*) ;; # a test event
            *) printf '%s\n' "$data" ;;
          esac
          printf '%s\n' "$id" > "$file.new" && mv -f "$file.new" "$file"
          wait=1
        fi
        event=message data=''
        ;;
    esac
  done
  exec 3<&-
  kill "$curl" 2> /dev/null

  case $status in
    204) exit 0 ;; # all events before `until` are here
    429) [ "$wait" -ge 10 ] || wait=10 ;;
    4??) exit 1 ;; # the request is wrong: there is no such stream, or the id is of another one
  esac
  printf 'reconnecting in %s s\n' "$wait" >&2
  sleep "$wait"
  wait=$((wait * 2 > 60 ? 60 : wait * 2))
done
