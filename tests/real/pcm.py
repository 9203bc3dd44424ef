#!/usr/bin/env python3
"""The sound of `kithara play` beside that of ffmpeg: as many samples, and the same ones.

    tests/real/pcm.py KITHARA [NAME...]

Makes streams of every container and codec with ffmpeg, serves them, and compares what both decode. Needs ffmpeg with
libmp3lame and libvorbis, and openssl. NAME is that of a stream or file, or of a group: `streams`, `files` (progressive ones),
or `seeks`, which begins each stream and file at a hundred random places and compares with the whole; without names all is done.
Prints a line per stream; exits 1 when one is wrong.

Sound is compared at the rate and with the channels it was encoded in. Where one output has several of those, each part is
taken from a run in which it is not resampled. What is resampled must be as long as the rates say, and is compared below
18 kHz: nearer to the end of the band, each resampler cuts off what it likes.
"""
import array
import concurrent.futures
import contextlib
import functools
import http.server
import json
import math
import os
import random
import re
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


def frames_of(adts):
    """Header and block of each frame; ffmpeg writes frames of one block, without checksums."""
    place = 0
    while place < len(adts):
        head = adts[place: place + 7]
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        yield head, adts[place + 7: place + size]
        place += size


def joined(frames, checked):
    """One frame of ADTS for up to four blocks (ISO/IEC 14496-3, 1.A.2.2). Nobody looks at the checksums."""
    blocks = [block for _, block in frames]
    data = b"".join(blocks)
    if checked:
        ends = [sum(len(block) + 2 for block in blocks[:count]) for count in range(1, len(blocks))]
        behind = b"\0\0" if len(blocks) > 1 else b""
        data = b"".join(end.to_bytes(2, "big") for end in ends) + b"\0\0" + b"".join(block + behind for block in blocks)
    head, size = bytearray(frames[0][0]), 7 + len(data)
    head[1] = head[1] & 0xFE | (not checked)
    head[3] = head[3] & 0xFC | size >> 11
    head[4] = size >> 3 & 0xFF
    head[5] = head[5] & 0x1F | size << 5 & 0xFF
    head[6] = head[6] & 0xFC | len(blocks) - 1
    return bytes(head) + data


def blocks(folder, kind, checked):
    """AAC of four blocks to a frame as `kind`: an ADTS file, packed segments of it, or a transport stream."""
    os.makedirs(folder)
    ffmpeg(*sound(48000), *AAC, "one.aac", cwd=folder)
    frames = list(frames_of(open(f"{folder}/one.aac", "rb").read()))
    out = [joined(frames[first: first + 4], checked) for first in range(0, len(frames), 4)]
    with open(f"{folder}/four.aac", "wb") as file:
        file.write(b"".join(out))
    if kind == "ts":
        ffmpeg("-i", "four.aac", "-c", "copy", *VOD, *TS, "index.m3u8", cwd=folder)
    elif kind == "adts":
        text = ["#EXTM3U", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:VOD"]
        for first in range(0, len(out), 24):
            with open(f"{folder}/s{first}.aac", "wb") as file:
                file.write(b"".join(out[first: first + 24]))
            text += [f"#EXTINF:{len(out[first: first + 24]) * 4096 / 48000:.6f},", f"s{first}.aac"]
        with open(f"{folder}/index.m3u8", "w") as file:
            file.write("\n".join(text + ["#EXT-X-ENDLIST"]) + "\n")


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


def below(hertz, samples, rate, width):
    """What of these samples lies below a frequency."""
    command = ["ffmpeg", "-loglevel", "error", "-f", "f32le", "-ar", str(rate), "-ac", str(width), "-i", "-",
               "-af", f"firequalizer=gain='if(lt(f,{hertz}),0,-INF)'", "-f", "f32le", "-"]
    return floats(subprocess.run(command, input=samples.tobytes(), check=True, capture_output=True).stdout)


def alike(ours, theirs, lag=0):
    """Correlation of two lists of samples, ours `lag` samples later."""
    a = ours[max(lag, 0): len(ours) + min(lag, 0)]
    b = theirs[max(-lag, 0): len(theirs) - max(lag, 0)]
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    energy = math.sqrt(sum(map(lambda x: x * x, a)) * sum(map(lambda x: x * x, b)))
    return sum(map(lambda x, y: x * y, a, b)) / energy if energy else 0.0


def missed(ours, whole, frame, width, far=3000):
    """By how many frames `ours` lies beside `frame` of the whole; `None` where it lies nowhere near it."""
    if ours == whole[frame * width: frame * width + len(ours)]:
        return 0

    def apart(place):
        there = whole[place * width: place * width + len(ours)]
        return sum((a - b) * (a - b) for a, b in zip(ours, there)) if len(there) == len(ours) else math.inf

    nearest = min(range(max(frame - far, 0), frame + far), key=apart)
    energy = sum(sample * sample for sample in ours)
    return abs(nearest - frame) if ours and apart(nearest) <= 1e-3 * energy else None


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, also parts of them, for clients that go away when they have enough."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            self.send_error(404)
            return
        size = os.path.getsize(path)
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]), size - 1) if asked and asked[2] else size - 1
        if first > last:
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with open(path, "rb") as file, contextlib.suppress(ConnectionError):
            file.seek(first)
            self.wfile.write(file.read(last - first + 1))


def serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Judge:
    def __init__(self, kithara, wanted):
        self.kithara, self.wanted, self.failed, self.passed = kithara, wanted, 0, 0

    def wants(self, name, group):
        return not self.wanted or name in self.wanted or group in self.wanted

    def heard(self, url, *options):
        command = [self.kithara, "play", url, "-o", "raw:-", "--format", "f32le", "--no-cache", *options]
        done = subprocess.run(command, capture_output=True, timeout=300)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
        return floats(done.stdout)

    def judge(self, name, ours, theirs, least=0.9999, width=2):
        count_is_right = len(ours) == len(theirs)
        here = alike(ours, theirs)
        beside = max(alike(ours, theirs, width), alike(ours, theirs, -width))
        good = count_is_right and here >= least and beside < here
        self.say(name, good, f"{len(ours) // width} frames, ffmpeg {len(theirs) // width}, correlation {here:.7f}")

    def say(self, name, good, text):
        self.passed += good
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {name:22} {text}", flush=True)

    def attempt(self, name, check, group="streams"):
        if not self.wants(name, group):
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

        def make_one(name, codec, muxer, rate):
            """Makes a stream; gives what ffmpeg decodes of it."""
            stream(f"{work}/{name}", codec, muxer, rate)
            theirs = reference(f"{work}/{name}")
            if name.endswith("_aes"):
                encrypt(f"{work}/{name}")
            return theirs

        def one(name, codec, muxer, rate):
            theirs = make_one(name, codec, muxer, rate)
            judge.judge(name, judge.heard(f"{origin}/{name}/index.m3u8"), theirs)

        def two(name, codec, muxer):
            folder, url = f"{work}/{name}", f"{origin}/{name}/index.m3u8"
            discontinuity(folder, codec, muxer)
            parts = {"a": (48000, 2), "b": (44100, 1)}
            native = {part: reference(f"{folder}/{part}") for part in parts}
            for part, (rate, width) in parts.items():
                ours = judge.heard(url, "--rate", str(rate), "--channels", str(width))
                length = len(native[part])
                split = length if part == "a" else len(ours) - length
                mine, other = (ours[:split], ours[split:]) if part == "a" else (ours[split:], ours[:split])
                judge.judge(f"{name} {rate}", mine, native[part], width=width)
                rest = "b" if part == "a" else "a"
                theirs = reference(f"{folder}/{rest}", "-ar", str(rate), "-ac", str(width))
                want = round(len(native[rest]) / parts[rest][1] * rate / parts[rest][0]) * width
                # ffmpeg rounds up.
                theirs = theirs[:want]
                name_of_run = f"{name} to {rate}"
                if len(other) == len(theirs):
                    other, theirs = (below(18000, sound, rate, width)[-want:] for sound in (other, theirs))
                judge.judge(name_of_run, other, theirs, width=width)

        def shared(name, kind, checked):
            """Where there are checksums, ffmpeg decodes nothing: its reference is the same blocks in frames of their own."""
            folder = f"{work}/{name}"
            blocks(folder, kind, checked)
            url = f"{origin}/{name}/" + ("four.aac" if kind == "file" else "index.m3u8")
            theirs = floats(ffmpeg("-i", "one.aac" if checked else "four.aac", "-f", "f32le", "-", cwd=folder))
            judge.judge(name, judge.heard(url), theirs)

        def make_file(name, codec):
            ffmpeg(*sound(44100), *codec, name, cwd=work)
            return int(ffmpeg_probe("channels", f"{work}/{name}"))

        def file(name, codec):
            width = make_file(name, codec)
            theirs = floats(ffmpeg("-i", name, "-f", "f32le", "-", cwd=work))
            if name.endswith(".m4a"):
                # The edit list ends inside of the last packet, of which some versions of ffmpeg give all.
                theirs = theirs[: int(ffmpeg_probe("duration_ts", f"{work}/{name}")) * width]
            judge.judge(name, judge.heard(f"{origin}/{name}"), theirs, width=width)

        def sought(name, url, rate, width, count=100, compared=512):
            """Each seek is a process that begins there."""
            whole = judge.heard(url)
            dice = random.Random(name)
            frames = [dice.randrange(len(whole) // width - compared) for _ in range(count)]

            def one_seek(frame):
                # Half a frame more for the sake of rounding down.
                ours = judge.heard(url, "--start", f"{frame / rate:.9f}", "--for", f"{(compared + 0.5) / rate:.9f}")
                return missed(ours[: compared * width], whole, frame, width) if len(ours) >= compared * width else None

            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                errors = list(pool.map(one_seek, frames))
            lost = errors.count(None)
            worst = max((error for error in errors if error is not None), default=None)
            judge.say(name, not lost and worst == 0, f"{count} seeks, worst error {worst} samples, {lost} went elsewhere")

        def sought_stream(name, codec, muxer, rate):
            if not os.path.exists(f"{work}/{name}"):
                make_one(name, codec, muxer, rate)
            sought(name, f"{origin}/{name}/index.m3u8", rate, 2)

        def sought_file(name, codec):
            sought(name, f"{origin}/{name}", 44100, make_file(name, codec))

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
        for kind in ("adts", "ts", "file"):
            for checked in (False, True):
                name = f"{kind}_blocks" + ("_checked" if checked else "")
                judge.attempt(name, functools.partial(shared, name, kind, checked))
        for name, codec in FILES.items():
            judge.attempt(name, functools.partial(file, name, codec), "files")
        for name, (codec, muxer, rate) in STREAMS.items():
            judge.attempt(f"{name} seeks", functools.partial(sought_stream, name, codec, muxer, rate), "seeks")
        for name, codec in FILES.items():
            judge.attempt(f"{name} seeks", functools.partial(sought_file, name, codec), "seeks")
    print(json.dumps({"passed": judge.passed, "failed": judge.failed}))
    return 1 if judge.failed or not judge.passed else 0


if __name__ == "__main__":
    sys.exit(main())
