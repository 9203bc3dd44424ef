//! Tags of a multivariant playlist (section 4.4.6).

use crate::BitRate;

use super::super::text::Text;
use super::super::{
    Channels, Characteristics, ClosedCaptions, Codecs, ContentSteering, FrameRate, HdcpLevel, Key, Line,
    ParseErrorKind, Rendition, RenditionId, RenditionKind, Resolution, Rule, Score, SessionData, SessionValue, Uri,
    Variant, VariantId, VideoRange,
};
use super::attributes::{Attribute, Attributes};
use super::decimal::{self, Decimal};
use super::key::read_key;
use super::scope::{Place, Scope};

/// Builds variants and renditions from their tags.
#[derive(Default)]
pub(super) struct MultivariantParser {
    pub(super) variants: Vec<Variant>,
    pub(super) iframe_variants: Vec<Variant>,
    pub(super) renditions: Vec<Rendition>,
    pub(super) session_keys: Vec<Key>,
    pub(super) session_data: Vec<SessionData>,
    pub(super) content_steering: Option<ContentSteering>,
    awaiting: Awaiting,
}

/// What the next URI line is for.
#[derive(Default)]
enum Awaiting {
    #[default]
    Nothing,
    /// The variant that the last EXT-X-STREAM-INF describes: its attributes, and where they stand.
    Variant { list: Text, line: u32 },
    /// A variant that must be ignored.
    Ignored,
}

/// Attributes that a client must know to use the tag, and that this one knows.
const KNOWN_REQUIREMENTS: &[&str] = &["REQ-VIDEO-LAYOUT"];

impl MultivariantParser {
    /// EXT-X-STREAM-INF (section 4.4.6.2).
    pub(super) fn stream(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) {
        if matches!(self.awaiting, Awaiting::Variant { .. }) {
            scope.violation(at, Rule::VariantWithoutUri);
        }
        self.awaiting = if scope.is_beyond_us(at, list, KNOWN_REQUIREMENTS) {
            Awaiting::Ignored
        } else {
            Awaiting::Variant { list: at.text(list), line: at.line }
        };
    }

    /// A URI line.
    pub(super) fn uri(&mut self, scope: &mut Scope<'_>, at: Place<'_>, raw: &str) -> Result<(), ParseErrorKind> {
        match std::mem::take(&mut self.awaiting) {
            Awaiting::Nothing => scope.violation(at, Rule::UriWithoutStream),
            Awaiting::Ignored => {}
            Awaiting::Variant { list, line } => {
                let uri = scope.uri(at, raw)?;
                let at = Place { line, ..at };
                let id = next_id(self.variants.len());
                if let Some(variant) = read_variant(scope, at, &list, VariantId(id), uri)? {
                    self.variants.push(variant);
                }
            }
        }
        Ok(())
    }

    /// The end of the playlist.
    pub(super) fn end(&mut self, scope: &mut Scope<'_>) {
        if let Awaiting::Variant { line, .. } = self.awaiting {
            scope.violation_at(Line(line), Rule::VariantWithoutUri);
        }
    }

    /// EXT-X-I-FRAME-STREAM-INF (section 4.4.6.3).
    pub(super) fn iframe_stream(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        if scope.is_beyond_us(at, list, KNOWN_REQUIREMENTS) {
            return Ok(());
        }
        let Some(uri) = Attributes::of(list).find(|attribute| attribute.name == "URI") else {
            scope.violation(at, Rule::VariantWithoutUri);
            return Ok(());
        };
        let uri = scope.uri(at, uri.value)?;
        let id = next_id(self.iframe_variants.len());
        if let Some(variant) = read_variant(scope, at, list, VariantId(id), uri)? {
            self.iframe_variants.push(variant);
        }
        Ok(())
    }

    /// EXT-X-MEDIA (section 4.4.6.1).
    pub(super) fn media(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        if scope.is_beyond_us(at, list, &[]) {
            return Ok(());
        }
        scope.count_entry()?;
        let kind = Attributes::of(list).find(|attribute| attribute.name == "TYPE");
        let kind = match kind.map(|attribute| attribute.value) {
            Some("AUDIO") => RenditionKind::Audio,
            Some("VIDEO") => RenditionKind::Video,
            Some("SUBTITLES") => RenditionKind::Subtitles,
            Some("CLOSED-CAPTIONS") => RenditionKind::ClosedCaptions,
            _ => {
                scope.violation(at, Rule::UnknownRenditionType);
                return Ok(());
            }
        };
        let mut rendition = Rendition {
            id: RenditionId(next_id(self.renditions.len())),
            kind,
            group_id: "".into(),
            name: "".into(),
            language: None,
            assoc_language: None,
            uri: None,
            default: false,
            autoselect: false,
            forced: false,
            instream_id: None,
            characteristics: None,
            channels: None,
            bit_depth: None,
            sample_rate: None,
            stable_rendition_id: None,
            line: at.line(),
        };
        for attribute in scope.attributes(at, list) {
            rendition_attribute(scope, at, attribute, &mut rendition)?;
        }
        check_rendition(scope, at, &rendition, list);
        self.renditions.push(rendition);
        Ok(())
    }

    /// EXT-X-SESSION-KEY (section 4.4.6.5).
    pub(super) fn session_key(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        scope.count_entry()?;
        match read_key(scope, at, list, "EXT-X-SESSION-KEY")? {
            Some(key) => self.session_keys.push(key),
            None => scope.violation(at, Rule::SessionKeyNone),
        }
        Ok(())
    }

    /// EXT-X-SESSION-DATA (section 4.4.6.4).
    pub(super) fn session_data(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        scope.count_entry()?;
        let (mut id, mut text, mut uri, mut language, mut format) = (None, None, None, None, "JSON");
        for attribute in Attributes::of(list) {
            match attribute.name {
                "DATA-ID" => id = Some(scope.quoted(at, attribute)?),
                "VALUE" => text = Some(scope.quoted(at, attribute)?),
                "URI" => uri = Some(scope.uri(at, attribute.value)?),
                "LANGUAGE" => language = Some(scope.quoted(at, attribute)?),
                "FORMAT" => format = attribute.value,
                _ => {}
            }
        }
        let value = match (text, uri) {
            (Some(text), None) => SessionValue::Text(text),
            (None, Some(uri)) if format == "RAW" => SessionValue::Raw(uri),
            (None, Some(uri)) if format == "JSON" => SessionValue::Json(uri),
            (None, Some(_)) => {
                scope.violation_of(at, Rule::UnknownEnumerated, format);
                return Ok(());
            }
            _ => {
                scope.violation(at, Rule::SessionDataIncomplete);
                return Ok(());
            }
        };
        let Some(id) = id else {
            scope.violation(at, Rule::SessionDataIncomplete);
            return Ok(());
        };
        self.session_data.push(SessionData { id, value, language, line: at.line() });
        Ok(())
    }

    /// EXT-X-CONTENT-STEERING (section 4.4.6.6).
    pub(super) fn content_steering(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-CONTENT-STEERING";
        if self.content_steering.is_some() {
            return Err(ParseErrorKind::Duplicate { tag: TAG });
        }
        let (mut server_uri, mut pathway_id) = (None, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "SERVER-URI" => server_uri = Some(scope.uri(at, attribute.value)?),
                "PATHWAY-ID" => pathway_id = Some(scope.quoted(at, attribute)?),
                _ => {}
            }
        }
        let attribute = "SERVER-URI";
        let server_uri = server_uri.ok_or(ParseErrorKind::Missing { tag: TAG, attribute })?;
        self.content_steering = Some(ContentSteering { server_uri, pathway_id, line: at.line() });
        Ok(())
    }
}

fn next_id(len: usize) -> u32 {
    u32::try_from(len).expect("there are fewer entries than the limit")
}

/// A variant; `None` when the client must not use it.
fn read_variant(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    list: &str,
    id: VariantId,
    uri: Uri,
) -> Result<Option<Variant>, ParseErrorKind> {
    scope.count_entry()?;
    let mut variant = Variant {
        id,
        uri,
        bandwidth: BitRate::ZERO,
        average_bandwidth: None,
        score: None,
        codecs: None,
        supplemental_codecs: None,
        resolution: None,
        frame_rate: None,
        hdcp_level: None,
        allowed_cpc: None,
        video_range: None,
        req_video_layout: None,
        stable_variant_id: None,
        pathway_id: None,
        audio: None,
        video: None,
        subtitles: None,
        closed_captions: None,
        name: None,
        line: Line(at.line),
    };
    for attribute in scope.attributes(at, list) {
        variant_attribute(scope, at, attribute, &mut variant)?;
    }
    if variant.bandwidth == BitRate::ZERO {
        scope.violation(at, Rule::MissingBandwidth);
    }
    let layout = variant.req_video_layout.as_deref();
    // Such a variant is not used, so that no closer look would find it.
    if layout.is_some_and(|layout| layout_specifiers(layout).any(str::is_empty)) {
        scope.violation(at, Rule::EmptyVideoLayout);
    }
    Ok(layout.is_none_or(is_known_layout).then_some(variant))
}

fn variant_attribute(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    attribute: Attribute<'_>,
    variant: &mut Variant,
) -> Result<(), ParseErrorKind> {
    let value = attribute.value;
    match attribute.name {
        "BANDWIDTH" => variant.bandwidth = BitRate(scope.integer(at, value).unwrap_or(0)),
        // Some packagers write underscores.
        "AVERAGE-BANDWIDTH" | "AVERAGE_BANDWIDTH" => variant.average_bandwidth = scope.integer(at, value).map(BitRate),
        "SCORE" => variant.score = noted(scope, at, read_score(value)),
        "CODECS" => variant.codecs = Some(Codecs::from(&*scope.quoted(at, attribute)?)),
        "SUPPLEMENTAL-CODECS" => {
            variant.supplemental_codecs = Some(Codecs::from(&*scope.quoted(at, attribute)?));
        }
        "RESOLUTION" => variant.resolution = noted(scope, at, read_resolution(value)),
        "FRAME-RATE" => variant.frame_rate = noted(scope, at, read_frame_rate(value)),
        "HDCP-LEVEL" => {
            variant.hdcp_level = Some(match value {
                "NONE" => HdcpLevel::None,
                "TYPE-0" => HdcpLevel::Type0,
                "TYPE-1" => HdcpLevel::Type1,
                other => HdcpLevel::Other(other.into()),
            });
        }
        "VIDEO-RANGE" | "VIDEO_RANGE" => {
            variant.video_range = Some(match value {
                "SDR" => VideoRange::Sdr,
                "HLG" => VideoRange::Hlg,
                "PQ" => VideoRange::Pq,
                other => VideoRange::Other(other.into()),
            });
        }
        "CLOSED-CAPTIONS" if value == "NONE" && !attribute.quoted => {
            variant.closed_captions = Some(ClosedCaptions::None);
        }
        "CLOSED-CAPTIONS" => {
            variant.closed_captions = Some(ClosedCaptions::Group(scope.quoted(at, attribute)?));
        }
        "ALLOWED-CPC" => variant.allowed_cpc = Some(scope.quoted(at, attribute)?),
        "REQ-VIDEO-LAYOUT" => variant.req_video_layout = Some(scope.quoted(at, attribute)?),
        "STABLE-VARIANT-ID" => variant.stable_variant_id = Some(scope.quoted(at, attribute)?),
        "PATHWAY-ID" => variant.pathway_id = Some(scope.quoted(at, attribute)?),
        "AUDIO" => variant.audio = Some(scope.quoted(at, attribute)?),
        "VIDEO" => variant.video = Some(scope.quoted(at, attribute)?),
        "SUBTITLES" => variant.subtitles = Some(scope.quoted(at, attribute)?),
        "NAME" => variant.name = Some(scope.expand(value)?.into()),
        "PROGRAM-ID" => scope.violation(at, Rule::RemovedFromTheLanguage),
        _ => {}
    }
    Ok(())
}

fn rendition_attribute(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    attribute: Attribute<'_>,
    rendition: &mut Rendition,
) -> Result<(), ParseErrorKind> {
    let value = attribute.value;
    match attribute.name {
        "GROUP-ID" => rendition.group_id = scope.quoted(at, attribute)?,
        "NAME" => rendition.name = scope.quoted(at, attribute)?,
        "LANGUAGE" => rendition.language = Some(scope.quoted(at, attribute)?),
        "ASSOC-LANGUAGE" => rendition.assoc_language = Some(scope.quoted(at, attribute)?),
        // An empty URI names the playlist itself, which nobody means.
        "URI" if !value.is_empty() => rendition.uri = Some(scope.uri(at, value)?),
        "DEFAULT" => rendition.default = attribute.is_yes(),
        "AUTOSELECT" => rendition.autoselect = attribute.is_yes(),
        "FORCED" => rendition.forced = attribute.is_yes(),
        "INSTREAM-ID" => rendition.instream_id = Some(scope.quoted(at, attribute)?),
        "CHARACTERISTICS" => {
            rendition.characteristics = Some(Characteristics::from(&*scope.quoted(at, attribute)?));
        }
        "CHANNELS" => {
            rendition.channels = Some(Channels::from(&*scope.quoted(at, attribute)?));
        }
        "BIT-DEPTH" => rendition.bit_depth = narrowed(scope.integer(at, value)),
        "SAMPLE-RATE" => rendition.sample_rate = narrowed(scope.integer(at, value)),
        "STABLE-RENDITION-ID" => {
            rendition.stable_rendition_id = Some(scope.quoted(at, attribute)?);
        }
        _ => {}
    }
    Ok(())
}

fn narrowed(number: Option<u64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// Notes that a value is none.
fn noted<T>(scope: &mut Scope<'_>, at: Place<'_>, value: Option<T>) -> Option<T> {
    if value.is_none() {
        scope.violation(at, Rule::InvalidNumber);
    }
    value
}

fn read_score(value: &str) -> Option<Score> {
    let (decimal, _) = Decimal::read(value)?;
    (!decimal.negative).then_some(Score(decimal.total_nanos()?))
}

fn read_frame_rate(value: &str) -> Option<FrameRate> {
    let (decimal, _) = Decimal::read(value)?;
    let thousandths = decimal.total_nanos()?.saturating_add(500_000) / 1_000_000;
    (!decimal.negative).then_some(FrameRate(u32::try_from(thousandths).ok()?))
}

fn read_resolution(value: &str) -> Option<Resolution> {
    let (width, rest) = decimal::integer(value)?;
    let (height, _) = decimal::integer(rest.strip_prefix(['x', 'X'])?)?;
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    Some(Resolution { width, height })
}

/// Whether all specifiers of a REQ-VIDEO-LAYOUT are known; otherwise the tag must be ignored (section 4.4.6.2).
fn is_known_layout(layout: &str) -> bool {
    const KNOWN: &[&str] = &["CH-STEREO", "CH-MONO", "PROJ-RECT", "PROJ-EQUI", "PROJ-HEQU", "PROJ-PRIM"];
    layout_specifiers(layout).all(|specifier| KNOWN.contains(&specifier))
}

fn layout_specifiers(layout: &str) -> impl Iterator<Item = &str> {
    layout.split([',', '/']).map(str::trim)
}

/// Notes what the rules of section 4.4.6.1 do not allow.
fn check_rendition(scope: &mut Scope<'_>, at: Place<'_>, rendition: &Rendition, list: &str) {
    let captions = rendition.kind == RenditionKind::ClosedCaptions;
    let deselected = Attributes::of(list).any(|it| it.name == "AUTOSELECT" && it.value == "NO");
    if rendition.default && deselected {
        scope.violation(at, Rule::DefaultNotSelected);
    }
    if rendition.group_id.is_empty() {
        scope.violation(at, Rule::RenditionWithoutGroup);
    }
    if rendition.name.is_empty() {
        scope.violation(at, Rule::RenditionWithoutName);
    }
    if rendition.uri.is_some() && captions {
        scope.violation(at, Rule::CaptionsWithUri);
    }
    if rendition.uri.is_none() && rendition.kind == RenditionKind::Subtitles {
        scope.violation(at, Rule::SubtitlesWithoutUri);
    }
    match &rendition.instream_id {
        None if captions => scope.violation(at, Rule::CaptionsWithoutInstreamId),
        Some(_) if !captions => scope.needs(at, 13),
        Some(id) if id.starts_with("SERVICE") => scope.needs(at, 7),
        _ => {}
    }
}
