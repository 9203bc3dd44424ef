//! What is known of a resource before its bytes.

use std::fmt;
use std::time::{Duration, SystemTime};

use kithara_assets::{BaseUrl, Clock, Meta, UnixMillis};
use kithara_net::address::{Provenance, is_public};
use kithara_net::{Origin, RedactedUrl, Validators};
use url::{Host, Url};

/// What is known of a resource before its bytes are here: from the origin, or from the store. All lengths are promises; the end of the
/// body is the proof.
#[derive(Clone)]
pub struct Head {
    /// The base for relative references: the URL that answered after all redirects. From the store it has the query that is asked with
    /// now, and none where that asked elsewhere.
    pub url: Url,
    /// Where the bytes come from.
    pub provider: Provider,
    /// The status of the first request of this fetch; `None` when there was none.
    pub status: Option<u16>,
    /// Offset of the first byte that is delivered.
    pub start: u64,
    /// Bytes that will be delivered; `None` where nobody said.
    pub len: Option<u64>,
    /// Whether the end of the bytes shows: a body that ends with its connection may be cut anywhere, and is not stored as a whole
    /// resource before who reads it says that it is one ([`Delivery::accept`](crate::Delivery::accept)).
    pub has_end: bool,
    /// Length of the whole resource; `None` where nobody said.
    pub total_len: Option<u64>,
    /// The `Content-Type`, unparsed. It proves nothing.
    pub content_type: Option<String>,
    /// What tells this version from others.
    pub validators: Validators,
    /// How long a shared cache had held the answer.
    pub age: Option<Duration>,
    /// When the origin made the answer.
    pub date: Option<SystemTime>,
    /// How long the answer may be reused, by the origin's word; `age` is not subtracted.
    pub max_age: Option<Duration>,
    /// From sending the request to its head; zero when there was none.
    pub time_to_first_byte: Duration,
    /// The resource is what the validators of the request describe; there are no bytes.
    pub not_modified: bool,
    /// What this resource is as the namer of other URLs; see [`FetchRequest::named_by`](crate::FetchRequest::named_by).
    pub provenance: Provenance,
}

/// Where the bytes of a fetch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The store alone; no request was sent.
    Store,
    /// The store, after the origin confirmed that they are still right.
    Confirmed,
    /// The store as far as it has them, and the origin.
    Both,
    /// The origin alone.
    Network,
}

impl Head {
    /// Whether the bytes are the store's: they say nothing about the network.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        matches!(self.provider, Provider::Store | Provider::Confirmed)
    }

    pub(crate) fn of_network(head: &kithara_net::Head) -> Self {
        Self {
            url: head.url.clone(),
            provider: Provider::Network,
            status: Some(head.status),
            start: head.range_start,
            len: head.len,
            has_end: head.has_end,
            total_len: head.total_len,
            content_type: head.content_type.clone(),
            validators: head.validators.clone(),
            age: head.age,
            date: head.date,
            max_age: head.max_age,
            time_to_first_byte: head.time_to_first_byte,
            not_modified: head.not_modified,
            provenance: head.provenance,
        }
    }

    /// The head of stored bytes, where `asked` is asked for.
    pub(crate) fn of_store(meta: &Meta, asked: &Url, total_len: Option<u64>) -> Self {
        // The store knows addresses without what signs them: the one that is asked for now has that again.
        let known = Meta::default().with_base_url(asked);
        let mut url = match meta.base_url() {
            Some(base) if known.base_url() != Some(base) => base.clone(),
            _ => asked.clone(),
        };
        if Origin::of(&url) != Origin::of(asked) {
            // User info lets in at the origin it was given for.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        } else if url.username().is_empty() {
            // A URL that can have none has none to take over.
            let _ = url.set_username(asked.username());
            let _ = url.set_password(asked.password());
        }
        url.set_fragment(None);
        Self {
            provenance: stored_provenance(&url),
            url,
            provider: Provider::Store,
            status: None,
            start: 0,
            len: total_len,
            has_end: total_len.is_some(),
            total_len,
            content_type: meta.content_type.clone(),
            validators: validators_of(meta),
            age: None,
            date: None,
            max_age: None,
            time_to_first_byte: Duration::ZERO,
            not_modified: false,
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("url", &RedactedUrl::new(&self.url))
            .field("provider", &self.provider)
            .field("status", &self.status)
            .field("start", &self.start)
            .field("len", &self.len)
            .field("total_len", &self.total_len)
            .field("content_type", &self.content_type)
            .field("validators", &self.validators)
            .field("time_to_first_byte", &self.time_to_first_byte)
            .field("not_modified", &self.not_modified)
            .finish_non_exhaustive()
    }
}

/// What is stored with bytes that came with `head`, when `asked` was asked for. Where they came from is of interest only if that was
/// elsewhere, and is not written down with a credential in it.
pub(crate) fn meta_of(head: &kithara_net::Head, asked: &Url, clock: &Clock) -> Meta {
    let now = clock.now();
    let lifetime = head.max_age.map(|max_age| max_age.saturating_sub(head.age.unwrap_or_default()));
    let fresh_until = lifetime.map(|lifetime| UnixMillis(now.0.saturating_add(millis(lifetime))));
    let validators = kithara_assets::Validators {
        etag: head.validators.etag.clone(),
        last_modified: head.validators.last_modified.clone(),
    };
    let mut meta = Meta::default();
    if let Base::Elsewhere(base) = Base::of(head, asked) {
        meta = meta.with_base_url(&base);
    }
    meta.validators = validators;
    meta.content_type = head.content_type.clone();
    meta.stored_at = now;
    meta.fresh_until = fresh_until;
    meta
}

/// Whether what the references of a document resolve against can be written down beside it.
pub(crate) fn can_keep_base(head: &kithara_net::Head, asked: &Url) -> bool {
    !matches!(Base::of(head, asked), Base::Secret)
}

/// What the references of a document resolve against.
enum Base {
    /// What was asked for.
    Asked,
    /// This.
    Elsewhere(Url),
    /// Something else, which has a credential in its path.
    Secret,
}

impl Base {
    fn of(head: &kithara_net::Head, asked: &Url) -> Self {
        let (answered, asked) = (BaseUrl::from(head.url.clone()), BaseUrl::from(asked.clone()));
        if answered == asked {
            Self::Asked
        } else if RedactedUrl::has_credentials_in_path(answered.as_url()) {
            Self::Secret
        } else {
            Self::Elsewhere(answered.as_url().clone())
        }
    }
}

pub(crate) fn validators_of(meta: &Meta) -> Validators {
    let kithara_assets::Validators { etag, last_modified } = meta.validators.clone();
    Validators { etag, last_modified }
}

/// The store does not remember who answered. Only an address that is private by its own text may name private ones again.
fn stored_provenance(url: &Url) -> Provenance {
    let private = match url.host() {
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        _ => false,
    };
    if private { Provenance::Private } else { Provenance::Public }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_in_a_stored_document_is_let_in_as_the_document_is() {
        let table = [
            ("http://u:p@h/a/x?token=1#f", None, "http://u:p@h/a/x?token=1"),
            ("http://h/a/x?token=1", Some("http://h/b/x?token=2"), "http://h/b/x"),
            ("http://u:p@h/a/x", Some("http://h/b/x"), "http://u:p@h/b/x"),
            ("http://u:p@h/a/x", Some("http://other/b/x"), "http://other/b/x"),
            ("http://h/a/x", Some("https://h/a/x"), "https://h/a/x"),
        ];
        for (asked, base, want) in table {
            let meta = base.map_or_else(Meta::default, |base| Meta::default().with_base_url(&base.parse().unwrap()));
            let head = Head::of_store(&meta, &asked.parse().unwrap(), None);
            assert_eq!(head.url.as_str(), want, "{asked}, answered by {base:?}");
        }
    }

    #[test]
    fn only_an_address_that_is_private_by_its_text_is_a_private_namer() {
        let table = [
            ("http://192.168.1.5/a", Provenance::Private),
            ("http://[::1]:8080/a", Provenance::Private),
            ("http://8.8.8.8/a", Provenance::Public),
            ("http://localhost/a", Provenance::Public),
            ("https://cdn.example/a", Provenance::Public),
        ];
        for (url, want) in table {
            assert_eq!(stored_provenance(&url.parse().unwrap()), want, "{url}");
        }
    }
}
