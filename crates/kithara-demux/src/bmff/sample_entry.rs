//! Sample entries of `stsd`: what the samples of a track are coded in (ISO/IEC 14496-12, 8.5.2 and 12).

use bytes::{Bytes, BytesMut};

use super::descriptors::StreamDescriptor;
use super::{FourCc, boxes, find, full_box};
use crate::cursor::Cursor;
use crate::frames::asc;
use crate::track::{AacExtension, AudioFormat, Codec, VideoFormat};

/// One sample entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SampleEntry {
    pub(crate) codec: Codec,
    pub(crate) config: Bytes,
    pub(crate) audio: Option<AudioFormat>,
    pub(crate) video: Option<VideoFormat>,
    pub(crate) is_encrypted: bool,
}

impl SampleEntry {
    /// All entries of an `stsd` payload, for a track with this handler.
    pub(crate) fn all(stsd: &[u8], handler: &FourCc) -> Vec<Self> {
        let Some((_, _, mut cursor)) = full_box(stsd) else { return Vec::new() };
        cursor.u32();
        boxes(cursor.rest()).map(|(kind, payload)| Self::parse(kind, payload, handler)).collect()
    }

    /// An entry that cannot be read is one of an unknown codec.
    fn parse(kind: FourCc, payload: &[u8], handler: &FourCc) -> Self {
        let parsed = match handler {
            b"soun" => Self::sound(kind, payload),
            b"vide" => Self::pictures(kind, payload),
            _ => Self::text(kind, payload),
        };
        parsed.unwrap_or(Self {
            codec: Codec::Other(kind),
            config: Bytes::new(),
            audio: None,
            video: None,
            is_encrypted: false,
        })
    }

    fn sound(kind: FourCc, payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.take(8)?;
        let version = cursor.u16()?;
        cursor.take(6)?;
        let (channels, _, _) = (cursor.u16()?, cursor.u32()?, cursor.u16()?);
        let rate = cursor.u32()? >> 16;
        // QuickTime's longer versions of the entry.
        cursor.take(match version {
            1 => 16,
            2 => 36,
            _ => 0,
        })?;
        let children = cursor.rest();
        let (format, is_encrypted) = original_format(kind, children);
        // QuickTime puts the boxes of the codec one level deeper.
        let children = find(children, b"wave").unwrap_or(children);
        let plain = AudioFormat { sample_rate: rate, channels, extension: AacExtension::Absent };
        let (codec, config, audio) = sound_codec(format, children, plain)?;
        Some(Self { codec, config, audio: Some(audio), video: None, is_encrypted })
    }

    fn pictures(kind: FourCc, payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.take(24)?;
        let (width, height) = (cursor.u16()?, cursor.u16()?);
        cursor.take(50)?;
        let (format, is_encrypted) = original_format(kind, cursor.rest());
        let (codec, config_box) = match &format {
            b"avc1" | b"avc2" | b"avc3" | b"avc4" | b"dva1" | b"dvav" => (Codec::H264, b"avcC"),
            b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => (Codec::Hevc, b"hvcC"),
            b"av01" => (Codec::Av1, b"av1C"),
            b"vp09" => (Codec::Vp9, b"vpcC"),
            _ => (Codec::Other(format), b"    "),
        };
        let config = find(cursor.rest(), config_box).map_or_else(Bytes::new, Bytes::copy_from_slice);
        Some(Self { codec, config, audio: None, video: Some(VideoFormat { width, height }), is_encrypted })
    }

    fn text(kind: FourCc, payload: &[u8]) -> Option<Self> {
        let children = payload.get(8..)?;
        let (format, is_encrypted) = original_format(kind, children);
        let (codec, config) = match &format {
            b"wvtt" => (Codec::WebVtt, find(children, b"vttC").unwrap_or_default()),
            b"stpp" => (Codec::Ttml, &[][..]),
            _ => (Codec::Other(format), &[][..]),
        };
        Some(Self { codec, config: Bytes::copy_from_slice(config), audio: None, video: None, is_encrypted })
    }
}

/// The format of an entry, and whether its samples are encrypted (8.12.1).
fn original_format(kind: FourCc, children: &[u8]) -> (FourCc, bool) {
    if !matches!(&kind, b"enca" | b"encv" | b"enct" | b"encs") {
        return (kind, false);
    }
    let original = find(children, b"sinf").and_then(|sinf| find(sinf, b"frma")).and_then(|frma| frma.first_chunk());
    (original.copied().unwrap_or(kind), true)
}

fn sound_codec(format: FourCc, children: &[u8], plain: AudioFormat) -> Option<(Codec, Bytes, AudioFormat)> {
    let copied = |kind: &FourCc| find(children, kind).map_or_else(Bytes::new, Bytes::copy_from_slice);
    Some(match &format {
        b"mp4a" => return Some(mpeg4_audio(children, plain)),
        b".mp3" => (Codec::Mp3, Bytes::new(), plain),
        b"ac-3" => (Codec::Ac3, copied(b"dac3"), plain),
        b"ec-3" => (Codec::Eac3, copied(b"dec3"), plain),
        b"fLaC" => flac(find(children, b"dfLa")?)?,
        b"Opus" => opus(find(children, b"dOps")?)?,
        b"alac" => alac(find(children, b"alac")?)?,
        _ => (Codec::Other(format), Bytes::new(), plain),
    })
}

fn mpeg4_audio(children: &[u8], plain: AudioFormat) -> (Codec, Bytes, AudioFormat) {
    let descriptor = find(children, b"esds").and_then(|esds| StreamDescriptor::parse(esds.get(4..)?));
    let Some(descriptor) = descriptor else { return (Codec::Other(*b"mp4a"), Bytes::new(), plain) };
    match descriptor.object_type {
        0x40 | 0x66..=0x68 => {
            let audio = asc::parse(descriptor.config).unwrap_or(plain);
            (Codec::Aac, Bytes::copy_from_slice(descriptor.config), audio)
        }
        0x69 | 0x6B => (Codec::Mp3, Bytes::new(), plain),
        0xA5 => (Codec::Ac3, Bytes::new(), plain),
        0xA6 => (Codec::Eac3, Bytes::new(), plain),
        _ => (Codec::Other(*b"mp4a"), Bytes::new(), plain),
    }
}

/// The first metadata block of `dfLa` is STREAMINFO (Encapsulation of FLAC in ISO Base Media File Format, 3.3.2).
fn flac(payload: &[u8]) -> Option<(Codec, Bytes, AudioFormat)> {
    let (_, _, mut cursor) = full_box(payload)?;
    let [kind, _, _, len] = cursor.array()?;
    let info = cursor.take(usize::from(len)).filter(|info| kind & 0x7F == 0 && info.len() == 34)?;
    let sample_rate = u32::from(info[10]) << 12 | u32::from(info[11]) << 4 | u32::from(info[12]) >> 4;
    let channels = u16::from(info[12] >> 1 & 7) + 1;
    Some((
        Codec::Flac,
        Bytes::copy_from_slice(info),
        AudioFormat { sample_rate, channels, extension: AacExtension::Absent },
    ))
}

/// `dOps` holds the fields of the identification header, numbers the other way round (Encapsulation of Opus in ISO Base Media File Format, 4.3.2).
fn opus(payload: &[u8]) -> Option<(Codec, Bytes, AudioFormat)> {
    let mut cursor = Cursor::new(payload);
    let [_, channels] = cursor.array()?;
    let (pre_skip, input_rate, gain) = (cursor.u16()?, cursor.u32()?, cursor.u16()?);
    let mut head = BytesMut::from(&b"OpusHead\x01"[..]);
    head.extend_from_slice(&[channels]);
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&input_rate.to_le_bytes());
    head.extend_from_slice(&gain.to_le_bytes());
    head.extend_from_slice(cursor.rest());
    let audio = AudioFormat {
        sample_rate: crate::ts::opus::SAMPLE_RATE,
        channels: u16::from(channels),
        extension: AacExtension::Absent,
    };
    Some((Codec::Opus, head.freeze(), audio))
}

/// The magic cookie, whose last field is the sample rate; the sample entry has no room for rates above 65,535.
fn alac(payload: &[u8]) -> Option<(Codec, Bytes, AudioFormat)> {
    let (_, _, cursor) = full_box(payload)?;
    let cookie = cursor.rest();
    let fields = cookie.first_chunk::<24>()?;
    let sample_rate = u32::from_be_bytes([fields[20], fields[21], fields[22], fields[23]]);
    let audio = AudioFormat { sample_rate, channels: u16::from(fields[9]), extension: AacExtension::Absent };
    Some((Codec::Alac, Bytes::copy_from_slice(cookie), audio))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{mp4_box, mp4_full_box};
    use super::*;

    /// A sample entry of sound around `children`.
    pub(crate) fn sound_entry(kind: &FourCc, channels: u16, rate: u16, children: &[u8]) -> Vec<u8> {
        let fixed = [
            &[0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0; 8],
            &channels.to_be_bytes(),
            &[0, 16, 0, 0, 0, 0],
            &rate.to_be_bytes(),
            &[0, 0],
        ]
        .concat();
        mp4_box(kind, &[&fixed, children])
    }

    /// A sample entry of pictures around `children`.
    pub(crate) fn picture_entry(kind: &FourCc, width: u16, height: u16, children: &[u8]) -> Vec<u8> {
        let fixed = [&[0; 24][..], &width.to_be_bytes(), &height.to_be_bytes(), &[0; 50]].concat();
        mp4_box(kind, &[&fixed, children])
    }

    /// An `esds` of AAC with a configuration.
    pub(crate) fn esds(config: &[u8]) -> Vec<u8> {
        let specific = [&[5, config.len() as u8], config].concat();
        let decoder = [&[4, 13 + specific.len() as u8, 0x40, 0x15][..], &[0; 11], &specific].concat();
        mp4_full_box(b"esds", 0, 0, &[&[3, 3 + decoder.len() as u8, 0, 1, 0], &decoder])
    }

    /// An `stsd` payload around entries.
    pub(crate) fn stsd(entries: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, 0, 0, 0, 1], entries].concat()
    }

    #[track_caller]
    fn check(
        handler: &FourCc,
        entry: Vec<u8>,
        codec: Codec,
        config: &[u8],
        format: Option<(u32, u16)>,
        is_encrypted: bool,
    ) {
        let found = SampleEntry::all(&stsd(&entry), handler).remove(0);
        assert_eq!((found.codec, &found.config[..], found.is_encrypted), (codec, config, is_encrypted));
        assert_eq!(found.audio.map(|audio| (audio.sample_rate, audio.channels)), format);
    }

    #[test]
    fn sound_is_read() {
        check(
            b"soun",
            sound_entry(b"mp4a", 2, 44_100, &esds(&[0x11, 0x90])),
            Codec::Aac,
            &[0x11, 0x90],
            Some((48_000, 2)),
            false,
        );
        let mut info = [0; 34];
        info[10..13].copy_from_slice(&[0x17, 0x70, 0x02]);
        let dfla = mp4_full_box(b"dfLa", 0, 0, &[&[0x80, 0, 0, 34], &info]);
        check(b"soun", sound_entry(b"fLaC", 1, 0, &dfla), Codec::Flac, &info, Some((96_000, 2)), false);
        let dops = mp4_box(b"dOps", &[&[0, 2, 0x01, 0x38, 0, 0, 0xBB, 0x80, 0, 0, 0]]);
        check(
            b"soun",
            sound_entry(b"Opus", 2, 48_000, &dops),
            Codec::Opus,
            b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\0\0\0",
            Some((48_000, 2)),
            false,
        );
        let cookie = [&[0, 0, 0x10, 0, 0, 24, 40, 10, 14, 2][..], &[0; 10], &192_000_u32.to_be_bytes()].concat();
        let magic = mp4_full_box(b"alac", 0, 0, &[&cookie]);
        check(b"soun", sound_entry(b"alac", 2, 0, &magic), Codec::Alac, &cookie, Some((192_000, 2)), false);
        check(
            b"soun",
            sound_entry(b"ac-3", 6, 48_000, &mp4_box(b"dac3", &[b"abc"])),
            Codec::Ac3,
            b"abc",
            Some((48_000, 6)),
            false,
        );
        check(b"soun", sound_entry(b"dtsx", 6, 48_000, &[]), Codec::Other(*b"dtsx"), &[], Some((48_000, 6)), false);
        check(b"soun", mp4_box(b"mp4a", &[b"cut"]), Codec::Other(*b"mp4a"), &[], None, false);
    }

    #[test]
    fn pictures_and_text_are_read() {
        check(
            b"vide",
            picture_entry(b"avc1", 640, 360, &mp4_box(b"avcC", &[b"conf"])),
            Codec::H264,
            b"conf",
            None,
            false,
        );
        check(
            b"vide",
            picture_entry(b"hev1", 640, 360, &mp4_box(b"hvcC", &[b"conf"])),
            Codec::Hevc,
            b"conf",
            None,
            false,
        );
        check(
            b"text",
            mp4_box(b"wvtt", &[&[0; 8], &mp4_box(b"vttC", &[b"WEBVTT"])]),
            Codec::WebVtt,
            b"WEBVTT",
            None,
            false,
        );
        check(b"subt", mp4_box(b"stpp", &[&[0; 8], b"http://www.w3.org/ns/ttml\0\0\0"]), Codec::Ttml, &[], None, false);
    }

    #[test]
    fn encrypted_entries_name_their_format() {
        let sinf = mp4_box(b"sinf", &[&mp4_box(b"frma", &[b"mp4a"])]);
        let children = [esds(&[0x11, 0x90]), sinf].concat();
        check(b"soun", sound_entry(b"enca", 2, 48_000, &children), Codec::Aac, &[0x11, 0x90], Some((48_000, 2)), true);
    }
}
