#!/usr/bin/env bash
# `kithara save` of streams that ffmpeg records while they are saved: an EVENT with fMP4, and a sliding window with TS.
# Needs a release build of kithara-cli, ffmpeg and python3. Takes SECONDS (20 unless told) for each.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-20}
kithara=${KITHARA:-${CARGO_TARGET_DIR:-target}/release/kithara}
work=$(mktemp -d)
server=
recorder=

finish() {
    for pid in $server $recorder; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

mkdir "$work/www"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 -m http.server "$port" --bind 127.0.0.1 --directory "$work/www" >/dev/null 2>&1 &
server=$!

# A tone that rises all the time: no second sounds like another.
source="aevalsrc=0.3*sin(2*PI*t*(200+20*t)):s=48000:d=$seconds"

# record NAME OPTION...: ffmpeg records in real time into www/NAME, at first with nobody looking.
record() {
    local name=$1
    shift
    mkdir -p "$work/www/$name"
    ffmpeg -nostdin -v error -y -re -f lavfi -i "$source" -c:a aac -b:a 96k -f hls -hls_time 2 "$@" \
        -hls_segment_filename "$work/www/$name/$(segment_name "$name")" "$work/www/$name/index.m3u8" &
    recorder=$!
    until [ -s "$work/www/$name/index.m3u8" ]; do read -rt 0.1 <> <(:) || true; done
}

segment_name() { case $1 in event) echo 'seg%04d.m4s' ;; *) echo 'seg%04d.ts' ;; esac; }

# Seconds of sound that ffmpeg finds in a file, without a complaint.
heard() { ffmpeg -v error -xerror -i "$1" -map 0:a -f f32le -ac 1 -ar 48000 - | wc -c | awk '{ print $1 / 4 / 48000 }'; }

# An EVENT is saved from its beginning to its end: byte for byte what lies on the disk when ffmpeg is done.
record event -hls_playlist_type event -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4
"$kithara" save "http://127.0.0.1:$port/event/index.m3u8" "$work/event.mp4" --json
wait "$recorder"
cat "$work/www/event/init.mp4" "$work/www/event/"seg*.m4s >"$work/event.want"
cmp "$work/event.mp4" "$work/event.want"
echo "EVENT: $(heard "$work/event.mp4") s of $seconds"

# A sliding window is saved from the first segment that was listed; none may be missing, though ffmpeg deletes them.
record window -hls_list_size 4 -hls_flags delete_segments+program_date_time
"$kithara" save "http://127.0.0.1:$port/window/index.m3u8" "$work/window.ts" --begin beginning --json
wait "$recorder"
found=$(heard "$work/window.ts")
echo "window: $found s of $seconds"
python3 -c "raise SystemExit(0 if abs($found - $seconds) < 0.3 else 'a part of the window is missing')"
