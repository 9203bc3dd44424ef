//! Everything a client can be told, with defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::address::AddressPolicy;
use crate::breaker::BreakerPolicy;
use crate::retry::RetryPolicy;
use crate::{Authorizer, RedactedUrl};

/// Options of a [`Client`](crate::Client). `Debug` shows no secrets.
#[derive(Clone)]
pub struct NetworkOptions {
    /// The `User-Agent` of every request. Default: `kithara/` and the version of this crate.
    pub user_agent: String,
    /// Limits of one attempt. Default: see [`Timeouts`].
    pub timeouts: Timeouts,
    /// How failed attempts are repeated. Default: see [`RetryPolicy`].
    pub retry: RetryPolicy,
    /// When a failing origin is left in peace. Default: see [`BreakerPolicy`].
    pub breaker: BreakerPolicy,
    /// Most redirects of one attempt. Default: 10.
    pub max_redirects: u32,
    /// Most bytes to throw away when an origin answers a range with the whole resource. Default: 32 MiB.
    pub max_skip: u64,
    /// Most times a gzip-coded body may expand once it is larger than 1 MiB. Text of many equal lines
    /// reaches 100; a bomb 1000. Default: 250.
    pub max_inflate_ratio: u32,
    /// Whether public origins may point to private addresses. Default: [`AddressPolicy::Allow`].
    pub address_policy: AddressPolicy,
    /// Asked for headers at every hop of every request that brings no authorizer of its own. Default: nobody.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Whether cookies are kept (in memory, for the life of the client) and sent back. Default: no.
    pub cookies: bool,
    /// Through which proxy requests go. Default: [`Proxy::System`].
    pub proxy: Proxy,
    /// How long an unused connection is kept. Must outlive a segment, so that steady playback never
    /// connects anew. Default: 90 s.
    pub pool_idle: Duration,
    /// Certificates (DER) trusted beside those of the platform. Default: none.
    pub extra_roots: Vec<Vec<u8>>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("kithara/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            max_redirects: 10,
            max_skip: 32 << 20,
            max_inflate_ratio: 250,
            address_policy: AddressPolicy::default(),
            authorizer: None,
            cookies: false,
            proxy: Proxy::default(),
            pool_idle: Duration::from_secs(90),
            extra_roots: Vec::new(),
        }
    }
}

/// Authorizers are equal when they are the same one.
impl PartialEq for NetworkOptions {
    fn eq(&self, other: &Self) -> bool {
        // All by name: a new one cannot be forgotten.
        let Self {
            user_agent,
            timeouts,
            retry,
            breaker,
            max_redirects,
            max_skip,
            max_inflate_ratio,
            address_policy,
            authorizer,
            cookies,
            proxy,
            pool_idle,
            extra_roots,
        } = self;
        let is_authorizer = match (authorizer, &other.authorizer) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        is_authorizer
            && (user_agent, timeouts, retry, breaker)
                == (&other.user_agent, &other.timeouts, &other.retry, &other.breaker)
            && (max_redirects, max_skip) == (&other.max_redirects, &other.max_skip)
            && (max_inflate_ratio, address_policy) == (&other.max_inflate_ratio, &other.address_policy)
            && (cookies, proxy, pool_idle) == (&other.cookies, &other.proxy, &other.pool_idle)
            && *extra_roots == other.extra_roots
    }
}

impl fmt::Debug for NetworkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptions")
            .field("user_agent", &self.user_agent)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .field("breaker", &self.breaker)
            .field("max_redirects", &self.max_redirects)
            .field("max_skip", &self.max_skip)
            .field("address_policy", &self.address_policy)
            .field("authorizer", &self.authorizer.is_some())
            .field("cookies", &self.cookies)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Limits of one attempt. There is no limit on the time of a whole body: a long one that moves is a
/// good one. See [`Request::deadline`](crate::Request::deadline) for a limit on the whole fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From starting to connect (name resolution included) to a usable connection. Default: 5 s.
    pub connect: Duration,
    /// From sending a request (connecting included) to the head of its response. Default: 10 s.
    pub first_byte: Duration,
    /// The window in which a body must move at least [`min_progress`](Self::min_progress) bytes while
    /// somebody waits for them. Default: 5 s.
    pub stall: Duration,
    /// The least progress, in bytes, of a body within the stall window. Default: 1024, that is 1.6 kbit/s: less than
    /// any audible stream, and still what each of eight parallel transfers gets from a 16 kbit/s link.
    pub min_progress: u64,
    /// A body that moves, within the stall window, less than one part in so many of what its origin's bodies moved at
    /// lately is a laggard: the rest is asked for anew (on another connection, but over HTTP/2), after 1, 2, 3, 6, 12 and
    /// 24 such windows of each body at most, unless its server is known to ignore ranges. Rates above 128 KiB/s count as
    /// that, so no body is given up that moves 4 KiB/s at the default. 0 gives none up. Default: 32.
    pub laggard: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            stall: Duration::from_secs(5),
            min_progress: 1024,
            laggard: 32,
        }
    }
}

/// Through which proxy requests go.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) or the system's
    /// settings say, when the client is made. This is the default. `NO_PROXY` lists names with all that
    /// end like them, addresses and subnets; `*` is all names, but no address.
    #[default]
    System,
    /// None, whatever the environment says.
    None,
    /// This one, for every request, whatever the environment says; userinfo in it is its credentials.
    ///
    /// `http` and `https` proxies make tunnels for https and see http requests whole. `socks5h` and
    /// `socks4a` look names up themselves; for `socks5` and `socks4` they are looked up here. A client with
    /// any other scheme cannot be made ([`ErrorKind::Setup`](crate::ErrorKind::Setup)).
    Url(Url),
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::None => f.write_str("None"),
            Self::Url(url) => write!(f, "Url({})", RedactedUrl::new(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_their_docs_say() {
        let secs = Duration::from_secs;
        let Timeouts { connect, first_byte, stall, min_progress, laggard } = Timeouts::default();
        assert_eq!([connect, first_byte, stall], [secs(5), secs(10), secs(5)]);
        assert_eq!((min_progress, laggard), (1024, 32));
        let options = NetworkOptions::default();
        assert_eq!((options.max_redirects, options.max_skip, options.max_inflate_ratio), (10, 32 << 20, 250));
        assert_eq!((options.cookies, options.proxy, options.pool_idle), (false, Proxy::System, secs(90)));
    }

    #[test]
    fn options_are_equal_when_every_one_of_them_is() {
        let changes: [fn(&mut NetworkOptions); 11] = [
            |it| it.user_agent.push('x'),
            |it| it.timeouts.laggard = 1,
            |it| it.retry.attempts = 99,
            |it| it.breaker.threshold = 99,
            |it| it.max_redirects = 0,
            |it| it.max_skip = 0,
            |it| it.max_inflate_ratio = 1,
            |it| it.address_policy = AddressPolicy::PublicOnly,
            |it| it.cookies = true,
            |it| it.proxy = Proxy::None,
            |it| it.pool_idle = Duration::ZERO,
        ];
        for (idx, change) in changes.into_iter().enumerate() {
            let mut options = NetworkOptions::default();
            change(&mut options);
            assert!(options == options.clone() && options != NetworkOptions::default(), "{idx}");
        }
    }
}
