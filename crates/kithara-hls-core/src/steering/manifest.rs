//! The steering manifest (RFC 8216bis sections 7.1 and 7.2).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use url::Url;

use super::DEFAULT_TTL;

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST: usize = 256 << 10;
/// Most pathways and clones that are read; a server that names more is not believed.
const MAX_PATHWAYS: usize = 64;
const MAX_CLONES: usize = 16;
/// Most entries of each table of a clone.
const MAX_ENTRIES: usize = 4_096;

/// What a steering server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringManifest {
    /// TTL: how long it holds, as stated; [`DEFAULT_TTL`] when it is not.
    pub ttl: Duration,
    /// RELOAD-URI: where to ask next.
    pub reload_uri: Option<Url>,
    /// PATHWAY-PRIORITY: the pathways, the preferred first, each once.
    pub priority: Vec<Arc<str>>,
    /// PATHWAY-CLONES: pathways made of others.
    pub clones: Vec<PathwayClone>,
}

/// A pathway that is another one at other addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathwayClone {
    /// BASE-ID: the pathway it is made of.
    pub base: Arc<str>,
    /// ID: its own name.
    pub id: Arc<str>,
    /// HOST, with a port where there is one.
    pub host: Option<String>,
    /// PARAMS: query parameters of all its addresses.
    pub params: BTreeMap<String, String>,
    /// PER-VARIANT-URIS: addresses by STABLE-VARIANT-ID.
    pub variant_uris: BTreeMap<String, Url>,
    /// PER-RENDITION-URIS: addresses by STABLE-RENDITION-ID.
    pub rendition_uris: BTreeMap<String, Url>,
}

/// Why a manifest cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SteeringError {
    /// Larger than [`MAX_MANIFEST`].
    #[error("the steering manifest is larger than {MAX_MANIFEST} bytes")]
    TooLarge,
    /// Not a JSON object.
    #[error("the steering manifest is no JSON object")]
    Json,
    /// A VERSION other than 1.
    #[error("the steering manifest has another version than 1")]
    Version,
    /// PATHWAY-PRIORITY is missing, empty or no list of names.
    #[error("the steering manifest names no pathways")]
    Priority,
}

impl SteeringManifest {
    /// Reads a manifest that was loaded from `url`. What is optional and cannot be understood is left out.
    ///
    /// # Errors
    /// It cannot be used at all.
    pub fn parse(text: &str, url: &Url) -> Result<Self, SteeringError> {
        if text.len() > MAX_MANIFEST {
            return Err(SteeringError::TooLarge);
        }
        let Ok(Value::Object(manifest)) = serde_json::from_str(text) else { return Err(SteeringError::Json) };
        if manifest.get("VERSION").and_then(Value::as_u64) != Some(1) {
            return Err(SteeringError::Version);
        }
        let ttl = manifest.get("TTL").and_then(Value::as_f64).filter(|secs| secs.is_finite() && *secs >= 0.0);
        let ttl = ttl.and_then(|secs| Duration::try_from_secs_f64(secs).ok()).unwrap_or(DEFAULT_TTL);
        let clones = manifest.get("PATHWAY-CLONES").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            ttl,
            reload_uri: manifest.get("RELOAD-URI").and_then(Value::as_str).and_then(|uri| http(url, uri)),
            priority: priority(&manifest)?,
            clones: clones.take(MAX_CLONES).filter_map(|clone| PathwayClone::read(clone, url)).collect(),
        })
    }
}

fn priority(manifest: &Map<String, Value>) -> Result<Vec<Arc<str>>, SteeringError> {
    let named = manifest.get("PATHWAY-PRIORITY").and_then(Value::as_array).ok_or(SteeringError::Priority)?;
    let mut priority: Vec<Arc<str>> = Vec::new();
    for id in named.iter().take(MAX_PATHWAYS).map(|id| id.as_str().filter(|id| is_pathway(id))) {
        let id: Arc<str> = id.ok_or(SteeringError::Priority)?.into();
        if !priority.contains(&id) {
            priority.push(id);
        }
    }
    if priority.is_empty() { Err(SteeringError::Priority) } else { Ok(priority) }
}

/// The characters of a PATHWAY-ID (RFC 8216bis section 4.4.6.2).
fn is_pathway(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it))
}

impl PathwayClone {
    fn read(clone: &Value, url: &Url) -> Option<Self> {
        let name = |key| clone.get(key).and_then(Value::as_str).filter(|id| is_pathway(id)).map(Arc::from);
        let replacement = clone.get("URI-REPLACEMENT")?.as_object()?;
        let table = |key: &str| {
            let entries = replacement.get(key).and_then(Value::as_object).into_iter().flatten();
            entries.take(MAX_ENTRIES).filter_map(|(name, value)| Some((name.clone(), value.as_str()?)))
        };
        let addresses =
            |key| table(key).filter_map(|(name, uri)| Some((name, http(url, uri)?))).collect::<BTreeMap<_, _>>();
        Some(Self {
            base: name("BASE-ID")?,
            id: name("ID")?,
            host: replacement.get("HOST").and_then(Value::as_str).filter(|host| !host.is_empty()).map(str::to_owned),
            params: table("PARAMS").map(|(name, value)| (name, value.to_owned())).collect(),
            variant_uris: addresses("PER-VARIANT-URIS"),
            rendition_uris: addresses("PER-RENDITION-URIS"),
        })
    }
}

/// `uri` as an address of http or https.
fn http(base: &Url, uri: &str) -> Option<Url> {
    base.join(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SteeringManifest, SteeringError> {
        SteeringManifest::parse(text, &"https://steer.test/a/b".parse().expect("a URL"))
    }

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = parse(
            "{\"VERSION\":1,\"TTL\":30,\"RELOAD-URI\":\"../c?s=1\",\"PATHWAY-PRIORITY\":[\"B\",\"A\",\"B\"],\
             \"PATHWAY-CLONES\":[{\"BASE-ID\":\"A\",\"ID\":\"C\",\"URI-REPLACEMENT\":{\"HOST\":\"c.test\",\
             \"PARAMS\":{\"t\":\"1\"},\"PER-VARIANT-URIS\":{\"v\":\"https://x.test/v\",\"bad\":\"file:///etc/x\"}}}]}",
        )
        .expect("a manifest");
        assert_eq!(manifest.priority.iter().map(|id| &**id).collect::<Vec<_>>(), ["B", "A"]);
        assert_eq!(manifest.reload_uri.map(String::from).as_deref(), Some("https://steer.test/c?s=1"));
        let [clone] = &manifest.clones[..] else { unreachable!("{:?}", manifest.clones) };
        assert_eq!((&*clone.base, &*clone.id, clone.host.as_deref()), ("A", "C", Some("c.test")));
        assert_eq!(clone.variant_uris.keys().collect::<Vec<_>>(), ["v"], "a file is no address");
    }

    #[track_caller]
    fn check(text: &str, want: SteeringError) {
        assert_eq!(parse(text), Err(want), "{text:.60}");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        check("", SteeringError::Json);
        check("[]", SteeringError::Json);
        check("<html>", SteeringError::Json);
        check("{\"VERSION\":2,\"PATHWAY-PRIORITY\":[\"A\"]}", SteeringError::Version);
        check("{\"PATHWAY-PRIORITY\":[\"A\"]}", SteeringError::Version);
        check("{\"VERSION\":1}", SteeringError::Priority);
        check("{\"VERSION\":1,\"PATHWAY-PRIORITY\":[]}", SteeringError::Priority);
        check("{\"VERSION\":1,\"PATHWAY-PRIORITY\":[7]}", SteeringError::Priority);
        check("{\"VERSION\":1,\"PATHWAY-PRIORITY\":[\"A~1\"]}", SteeringError::Priority);
        check(&" ".repeat(MAX_MANIFEST + 1), SteeringError::TooLarge);
    }

    #[test]
    fn strange_values_of_optional_members_are_left_out() {
        let manifest = parse(
            "{\"VERSION\":1,\"TTL\":-1e300,\"RELOAD-URI\":\"file:///x\",\"PATHWAY-PRIORITY\":[\"A\"],\
             \"PATHWAY-CLONES\":[1,{},{\"BASE-ID\":\"A\",\"ID\":\"no blank\",\"URI-REPLACEMENT\":{}}]}",
        );
        let manifest = manifest.expect("a manifest");
        assert_eq!((manifest.ttl, manifest.reload_uri, manifest.clones.len()), (DEFAULT_TTL, None, 0));
        let many = ["{\"BASE-ID\":\"A\",\"ID\":\"B\",\"URI-REPLACEMENT\":{}}"; 40].join(",");
        let many = format!("{{\"VERSION\":1,\"PATHWAY-PRIORITY\":[\"A\"],\"PATHWAY-CLONES\":[{many}]}}");
        assert_eq!(parse(&many).expect("a manifest").clones.len(), MAX_CLONES);
    }
}
