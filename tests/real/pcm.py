#!/usr/bin/env python3
"""The sound of `kithara play` beside that of ffmpeg: as many samples, and the same ones.

    tests/real/pcm.py KITHARA [NAME...]

Makes streams of every container and codec with ffmpeg, serves them, and compares what both decode. Needs ffmpeg with
libmp3lame and libvorbis, and openssl. Progressive files are compared when `files` is among the names. Prints a line per stream; exits 1 when one is wrong.
"""
import array
import functools
import http.server
import json
import math
import os
import subprocess
import sys
import tempfile
import threading

LONG = 10.0
KEY, IV = bytes(range(16)).hex(), bytes(range(16, 32)).hex()
# Swept tones and a little noise: no two places sound alike, so a shift of one sample shows.
SOUND = ("aevalsrc=exprs=0.3*sin(2*PI*(300+90*t)*t)+0.1*(random(0)-0.5)|0.3*sin(2*PI*(900+130*t)*t)+0.1*(random(1)-0.5)"
         ":s={rate}:d={long}:c=stereo")
# Noise that the decoder makes up is made up by each decoder for itself.
AAC = ["-c:a", "aac", "-b:a", "128k", "-aac_pns", "0"]
MP3 = ["-c:a", "libmp3lame", "-b:a", "128k"]
FLAC = ["-c:a", "flac", "-sample_fmt", "s16", "-strict", "experimental"]
ALAC = ["-c:a", "alac", "-sample_fmt", "s16p"]
TS = ["-f", "hls", "-hls_segment_type", "mpegts", "-hls_segment_filename", "s%d.ts"]
FMP4 = ["-f", "hls", "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4",
        "-hls_segment_filename", "s%d.m4s"]
VOD = ["-hls_time", "2", "-hls_playlist_type", "vod", "-hls_list_size", "0"]

# name: (codec, muxer, rate); what ends in _aes is encrypted.
STREAMS = {
    "fmp4_aac": (AAC, FMP4, 48000), "fmp4_flac": (FLAC, FMP4, 48000), "fmp4_alac": (ALAC, FMP4, 44100),
    "fmp4_mp3": (MP3, FMP4, 44100), "ts_aac": (AAC, TS, 48000), "ts_aac_44": (AAC, TS, 44100), "ts_mp3": (MP3, TS, 44100),
    "ts_aes": (AAC, TS, 48000), "fmp4_aes": (AAC, FMP4, 48000),
    "adts": (AAC, "adts", 48000), "mp3": (MP3, "mp3", 44100),
}
FILES = {
    "file.m4a": AAC, "file_alac.m4a": ALAC, "file.flac": FLAC, "file.mp3": MP3, "file.aac": AAC,
    "file.wav": ["-c:a", "pcm_s16le"], "file.ogg": ["-c:a", "libvorbis"],
    "file_vbr.mp3": ["-c:a", "libmp3lame", "-q:a", "4"],
    # Without a header that counts frames and added samples.
    "file_bare.mp3": [*MP3, "-write_xing", "0"],
    "file_vbr_bare.mp3": ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0"],
    "file_six.wav": ["-c:a", "pcm_s16le", "-ac", "6"], "file_rf64.wav": ["-c:a", "pcm_s16le", "-rf64", "always"],
}


def ffmpeg(*args, cwd=None):
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *args]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True).stdout


def ffmpeg_probe(entry, path):
    """A fact of the first stream of sound."""
    command = ["ffprobe", "-loglevel", "error", "-select_streams", "a:0", "-show_entries", f"stream={entry}",
               "-of", "default=nokey=1:noprint_wrappers=1", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sound(rate, long=LONG):
    return ["-f", "lavfi", "-i", SOUND.format(rate=rate, long=long)]


def packed(folder, codec, kind, rate):
    """Packed audio: frames of one elementary stream cut into segments, as ffmpeg's segment muxer does."""
    suffix = {"adts": "aac", "mp3": "mp3"}[kind]
    extra = ["-segment_format_options", "write_xing=0:id3v2_version=0"] if kind == "mp3" else []
    ffmpeg(*sound(rate), *codec, "-f", "segment", "-segment_format", kind, *extra, "-segment_time", "2",
           "-segment_list", "index.m3u8", "-segment_list_type", "m3u8", f"s%d.{suffix}", cwd=folder)


def stream(folder, codec, muxer, rate, long=LONG):
    os.makedirs(folder)
    if isinstance(muxer, str):
        packed(folder, codec, muxer, rate)
        return
    ffmpeg(*sound(rate, long), *codec, *VOD, *muxer, "index.m3u8", cwd=folder)


def listed(folder):
    """The files of a playlist in order, init section first."""
    names = []
    for line in open(f"{folder}/index.m3u8"):
        if line.startswith("#EXT-X-MAP"):
            names.append(line.split('URI="')[1].split('"')[0])
        elif line.strip() and not line.startswith("#"):
            names.append(line.strip())
    return names


def encrypt(folder):
    """Encrypts the segments, not the init section, and says so behind the line that names it."""
    for name in listed(folder):
        if name != "init.mp4":
            path = f"{folder}/{name}"
            subprocess.run(["openssl", "enc", "-aes-128-cbc", "-K", KEY, "-iv", IV, "-in", path, "-out", path + ".enc"], check=True)
            os.replace(path + ".enc", path)
    with open(f"{folder}/key.bin", "wb") as out:
        out.write(bytes.fromhex(KEY))
    lines = open(f"{folder}/index.m3u8").read().splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("#EXTINF"))
    lines.insert(first, f'#EXT-X-KEY:METHOD=AES-128,URI="key.bin",IV=0x{IV}')
    with open(f"{folder}/index.m3u8", "w") as out:
        out.write("\n".join(lines) + "\n")


def reference(folder, *options):
    """What ffmpeg decodes: of the segments as one file, so that its playlist reader takes no part."""
    names = listed(folder)
    whole = f"{folder}/whole{os.path.splitext(names[-1])[1]}"
    with open(whole, "wb") as out:
        for name in names:
            out.write(open(f"{folder}/{name}", "rb").read())
    kind = ["-f", "mp4"] if whole.endswith("m4s") else []
    return floats(ffmpeg(*kind, "-i", whole, *options, "-f", "f32le", "-"))


def floats(raw):
    out = array.array("f")
    out.frombytes(raw[: len(raw) // 4 * 4])
    return out


def alike(ours, theirs, lag=0):
    """Correlation of two lists of samples, ours `lag` samples later."""
    a = ours[max(lag, 0): len(ours) + min(lag, 0)]
    b = theirs[max(-lag, 0): len(theirs) - max(lag, 0)]
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    energy = math.sqrt(sum(map(lambda x: x * x, a)) * sum(map(lambda x: x * x, b)))
    return sum(map(lambda x, y: x * y, a, b)) / energy if energy else 0.0


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Judge:
    def __init__(self, kithara, wanted):
        self.kithara, self.wanted, self.failed, self.passed = kithara, wanted, 0, 0

    def wants(self, name):
        return not self.wanted or name in self.wanted

    def heard(self, url, *options):
        command = [self.kithara, "play", url, "-o", "raw:-", "--format", "f32le", "--no-cache", *options]
        done = subprocess.run(command, capture_output=True, timeout=300)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
        return floats(done.stdout)

    def judge(self, name, ours, theirs, least=0.9999, slack=0, width=2):
        count_is_right = abs(len(ours) - len(theirs)) <= slack * width
        here = alike(ours, theirs)
        beside = max(alike(ours, theirs, width), alike(ours, theirs, -width))
        good = count_is_right and here >= least and beside < here
        self.say(name, good, f"{len(ours) // width} frames, ffmpeg {len(theirs) // width}, correlation {here:.7f}")

    def say(self, name, good, text):
        self.passed += good
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {name:22} {text}", flush=True)

    def attempt(self, name, check):
        if not self.wants(name):
            return
        try:
            check()
        except (RuntimeError, subprocess.SubprocessError) as error:
            self.say(name, False, str(error))


def discontinuity(folder, codec, muxer):
    """48 kHz stereo, then 44.1 kHz mono, in one playlist."""
    os.makedirs(folder)
    stream(f"{folder}/a", codec, muxer, 48000, 4.0)
    os.makedirs(f"{folder}/b")
    ffmpeg(*sound(44100, 4.0), "-ac", "1", *codec, *VOD, *muxer, "index.m3u8", cwd=f"{folder}/b")
    lines = {part: open(f"{folder}/{part}/index.m3u8").read().splitlines() for part in "ab"}
    out = []
    for part in "ab":
        out += ["#EXT-X-DISCONTINUITY"] if part == "b" else []
        for line in lines[part]:
            head = line.startswith("#EXT") and not line.startswith(("#EXTINF", "#EXT-X-MAP"))
            if head and (part == "b" or line == "#EXT-X-ENDLIST"):
                continue
            line = line.replace('URI="', f'URI="{part}/')
            out.append(line if line.startswith("#") or not line else f"{part}/{line}")
    with open(f"{folder}/index.m3u8", "w") as text:
        text.write("\n".join(out + ["#EXT-X-ENDLIST"]) + "\n")


def main():
    judge = Judge(os.path.abspath(sys.argv[1]), sys.argv[2:])
    with tempfile.TemporaryDirectory() as work:
        origin = serve(work)

        def one(name, codec, muxer, rate):
            stream(f"{work}/{name}", codec, muxer, rate)
            theirs = reference(f"{work}/{name}")
            if name.endswith("_aes"):
                encrypt(f"{work}/{name}")
            judge.judge(name, judge.heard(f"{origin}/{name}/index.m3u8"), theirs)

        def two(name, codec, muxer):
            folder = f"{work}/{name}"
            discontinuity(folder, codec, muxer)
            ours = judge.heard(f"{origin}/{name}/index.m3u8")
            first = reference(f"{folder}/a")
            judge.judge(f"{name} 48k stereo", ours[: len(first)], first)
            # Another resampler: the same sound at the same time, not the same numbers.
            second = reference(f"{folder}/b", "-ar", "48000", "-ac", "2")
            judge.judge(f"{name} 44.1k mono", ours[len(first):], second, least=0.999, slack=2)

        def file(name, codec):
            ffmpeg(*sound(44100), *codec, name, cwd=work)
            theirs = floats(ffmpeg("-i", name, "-f", "f32le", "-", cwd=work))
            width = int(ffmpeg_probe("channels", f"{work}/{name}"))
            if name.endswith(".m4a"):
                # The edit list ends inside of the last packet, of which some versions of ffmpeg give all.
                theirs = theirs[: int(ffmpeg_probe("duration_ts", f"{work}/{name}")) * width]
            judge.judge(name, judge.heard(f"{origin}/{name}"), theirs, width=width)

        def described():
            """MP3 segments that each carry a header of their own, although they were encoded in one go."""
            folder = f"{work}/mp3_described"
            os.makedirs(folder)
            ffmpeg(*sound(44100), *MP3, "-f", "segment", "-segment_format", "mp3", "-segment_time", "2", "-segment_list",
                   "index.m3u8", "-segment_list_type", "m3u8", "s%d.mp3", cwd=folder)
            ffmpeg(*sound(44100), *MP3, "whole.mp3", cwd=folder)
            theirs = floats(ffmpeg("-i", "whole.mp3", "-f", "f32le", "-", cwd=folder))
            judge.judge("mp3_described", judge.heard(f"{origin}/mp3_described/index.m3u8"), theirs)

        for name, (codec, muxer, rate) in STREAMS.items():
            judge.attempt(name, functools.partial(one, name, codec, muxer, rate))
        judge.attempt("mp3_described", described)
        for name, muxer in (("fmp4_discontinuity", FMP4), ("ts_discontinuity", TS)):
            judge.attempt(name, functools.partial(two, name, AAC, muxer))
        for name, codec in FILES.items() if "files" in sys.argv[2:] else ():
            judge.wanted += [name]
            judge.attempt(name, functools.partial(file, name, codec))
    print(json.dumps({"passed": judge.passed, "failed": judge.failed}))
    return 1 if judge.failed or not judge.passed else 0


if __name__ == "__main__":
    sys.exit(main())
