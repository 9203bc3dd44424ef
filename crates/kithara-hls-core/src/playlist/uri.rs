//! URIs of a playlist: kept as written, resolved when asked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use url::Url;

/// A URI as a playlist writes it, with the playlist's own address to resolve it against.
///
/// Most URIs of a playlist are never used, and resolving costs more than all other work on a line, so [`Uri::url`]
/// resolves on demand. That it will succeed is checked when the playlist is parsed. Cloning is cheap.
///
/// `Debug` and `Display` show neither query nor user information, where secrets travel.
#[derive(Clone)]
pub struct Uri {
    base: Arc<Url>,
    raw: Arc<str>,
}

impl Uri {
    /// `raw` relative to `base`.
    ///
    /// # Errors
    /// When the result is no URL.
    pub fn new(raw: &str, base: &Arc<Url>) -> Result<Self, url::ParseError> {
        base.join(raw)?;
        Ok(Self {
            base: base.clone(),
            raw: raw.into(),
        })
    }

    /// The text of the playlist, variables substituted. It may carry secrets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The absolute address (RFC 3986 section 5.2).
    #[must_use]
    pub fn url(&self) -> Url {
        self.base
            .join(&self.raw)
            .expect("resolution was checked when the URI was made")
    }
}

/// An absolute URL stands for itself.
impl From<Url> for Uri {
    fn from(url: Url) -> Self {
        let raw = url.as_str().into();
        Self {
            base: Arc::new(url),
            raw,
        }
    }
}

/// Two URIs are equal when they are written equally and resolve against the same base.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw && (Arc::ptr_eq(&self.base, &other.base) || self.base == other.base)
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
        self.base.hash(state);
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self
            .raw
            .find(['?', '#'])
            .map_or(&*self.raw, |end| &self.raw[..end]);
        match path.split_once("://") {
            Some((scheme, rest)) => {
                let authority_end = rest.find('/').unwrap_or(rest.len());
                let host_start = rest[..authority_end].rfind('@').map_or(0, |at| at + 1);
                write!(f, "{scheme}://{}", &rest[host_start..])
            }
            None => f.write_str(path),
        }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}
