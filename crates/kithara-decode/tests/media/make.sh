#!/usr/bin/env bash
# Makes the progressive files of the tests. Needs ffmpeg with libmp3lame and libvorbis; what it makes is committed.
#
# The sound is that of the fixtures of the workspace: in second s the left tone has 400 + 100 s Hz, the right one 2400 + 100 s Hz;
# mono has the left one. he_v1.aac and he_v2.aac are the same stereo sound in HE-AAC with implicit signalling, by the FDK encoder.
set -euo pipefail
cd "$(dirname "$0")"

LEFT='0.4*sin(2*PI*(400+100*floor(t))*t)'
RIGHT='0.4*sin(2*PI*(2400+100*floor(t))*t)'
EXACT=(-map_metadata -1 -fflags +bitexact -flags:a +bitexact -threads 1)
stereo() { echo "aevalsrc=exprs=$LEFT|$RIGHT:s=$1:d=$2:c=stereo"; }
mono() { echo "aevalsrc=exprs=$LEFT:s=$1:d=$2"; }
ff() { ffmpeg -hide_banner -loglevel error -nostdin -y -f lavfi -i "$1" "${@:2}" </dev/null; }

ff "$(mono 8000 1.9)" -c:a pcm_s16le "${EXACT[@]}" tones.wav
ff "$(mono 16000 1.9)" -c:a flac "${EXACT[@]}" tones.flac
ff "$(stereo 44100 2.9)" -c:a libvorbis -q:a 0 "${EXACT[@]}" tones.ogg
# Without bitexact, which would leave out the header that tells the encoder's delay.
ff "$(stereo 44100 2.9)" -c:a libmp3lame -b:a 48k -map_metadata -1 tones.mp3
ff "$(stereo 48000 2.9)" -c:a aac -b:a 48k "${EXACT[@]}" tones.m4a
ff "$(stereo 48000 2.9)" -c:a aac -b:a 48k "${EXACT[@]}" -movflags +faststart fast.m4a
ff "$(mono 16000 1.9)" -c:a alac "${EXACT[@]}" alac.m4a
ff "$(stereo 48000 2.9)" -c:a aac -b:a 48k "${EXACT[@]}" tones.aac
ff "$(mono 22050 1.9)" -c:a aac -b:a 24k "${EXACT[@]}" low_rate.aac
ff "$(mono 48000 0.2)" -c:a libopus -b:a 16k "${EXACT[@]}" opus.ogg

# Loud first and quiet then, without a header that tells how many frames there are: whoever guesses by the first ones is wrong.
ff "aevalsrc=exprs='if(lt(t,0.6),random(0)-0.5,0.4*sin(2*PI*400*t))':s=22050:d=2.5" -c:a libmp3lame -q:a 6 "${EXACT[@]}" -write_xing 0 guess.mp3

# Noise over sweeps, which begins with a short block and goes on with long ones.
sweep() { echo "0.3*sin(2*PI*($1*t)*t)+0.1*(random($2)-0.5)"; }
ff "aevalsrc=exprs=$(sweep '300+90' 0)|$(sweep '900+130' 1):s=44100:d=2.2:c=stereo" -c:a libvorbis -q:a -1 "${EXACT[@]}" blocks.ogg

# Three streams in one file, one after the other, of which the first two have equal headers.
link() { ff "$1" -c:a libvorbis -q:a 0 "${EXACT[@]}" -serial_offset "$2" -f ogg -; }
{ link "$(stereo 44100 1.2)" 1; link "$(stereo 44100 1.3)" 2; link "$(mono 22050 0.9)" 3; } >chained.ogg

# Two tracks of sound, of which the first one is in AC-3.
two() { ff "$(mono 48000 0.4)" -map 0 -map 0 -c:a:0 ac3 -b:a:0 64k -c:a:1 aac -b:a:1 32k "${EXACT[@]}" "$@"; }
two -f mpegts two.ts
two -f mp4 -movflags +frag_keyframe+empty_moov+default_base_moof+delay_moov -frag_duration 400000 two.mp4

# Larger than what a reader of Ogg looks at in one go to find the end.
ff "aevalsrc=exprs='random(0)-0.5|random(1)-0.5':s=44100:d=1.3:c=stereo" -c:a libvorbis -q:a 10 "${EXACT[@]}" far.ogg
