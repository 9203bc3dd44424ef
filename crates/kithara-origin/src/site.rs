//! What an origin serves: contents by path.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    access::{Entry, Generating, SecureLink, Sessions},
    body::Body,
    clock::Clock,
    link::Link,
    live::Live,
    packager::Packager,
    request::Request,
    response::{Response, media_type},
    rule::{Pattern, Rule, Script},
};

/// Contents by path. Exact paths come first, then the longest matching prefix of a directory or route, else 404.
///
/// Clones share contents, clock, and what live views and sessions have seen; each origin counts for its own rules.
#[derive(Clone, Default)]
pub struct Site {
    exact: BTreeMap<String, Content>,
    /// Directories and routes by path prefix.
    mounts: BTreeMap<String, Mount>,
    /// What may refuse a request before it is answered, in order.
    guards: Vec<(Pattern, Guard)>,
    /// What changes texts that are served, in order.
    rewrites: Vec<(Pattern, Rewrite)>,
    pub(crate) clock: Clock,
    pub(crate) script: Script,
    pub(crate) link: Link,
}

type Answer = Arc<dyn Fn(&Request) -> Response + Send + Sync>;
type Guard = Arc<dyn Fn(&Request) -> Option<Response> + Send + Sync>;
type Rewrite = Arc<dyn Fn(&Request, &str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
enum Content {
    Body(Body),
    File(PathBuf),
    Route(Answer),
}

#[derive(Clone)]
enum Mount {
    Directory(PathBuf),
    Route(Answer),
    /// Sessions whose contents are those below another prefix.
    Sessions(Sessions, String),
}

impl Site {
    /// A site without content: every request is answered with 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `bytes` at `path`.
    #[must_use]
    pub fn bytes(mut self, path: &str, bytes: impl Into<bytes::Bytes>) -> Self {
        self.put(path, Body::from(bytes));
        self
    }

    /// Serves `len` synthetic bytes at `path` (see [`pattern_bytes`](crate::pattern_bytes)); takes no memory.
    #[must_use]
    pub fn pattern(mut self, path: &str, seed: u64, len: u64) -> Self {
        self.put(path, Body::pattern(seed, len));
        self
    }

    /// Serves one file of the disk at `path`; it is opened for each request and read while it is sent.
    #[must_use]
    pub fn file(mut self, path: &str, file: impl Into<PathBuf>) -> Self {
        self.exact.insert(absolute(path), Content::File(file.into()));
        self
    }

    /// Serves the files below `directory` at paths below `prefix`, each read while it is sent.
    #[must_use]
    pub fn dir(mut self, prefix: &str, directory: impl Into<PathBuf>) -> Self {
        self.mounts.insert(mount_point(prefix), Mount::Directory(directory.into()));
        self
    }

    /// Lets `answer` answer requests for exactly `path`. It runs on the origin's thread and must not block.
    #[must_use]
    pub fn route(mut self, path: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.exact.insert(absolute(path), Content::Route(Arc::new(answer)));
        self
    }

    /// Lets `answer` answer all requests below `prefix`. It runs on the origin's thread and must not block.
    #[must_use]
    pub fn routes(mut self, prefix: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.mounts.insert(mount_point(prefix), Mount::Route(Arc::new(answer)));
        self
    }

    /// Lets `check` refuse requests whose path matches `pattern` (see [`Rule::on`]): `Some` is sent in place of the content.
    #[must_use]
    pub fn guard(
        mut self,
        pattern: &str,
        check: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.guards.push((Pattern::new(pattern), Arc::new(check)));
        self
    }

    /// Refuses requests that match `pattern` and do not carry `Authorization: Bearer <token>` with 401.
    #[must_use]
    pub fn bearer(self, pattern: &str, token: &str) -> Self {
        let wanted = format!("Bearer {token}");
        self.guard(pattern, move |request| {
            let challenge = || Response::new(401).with_header("WWW-Authenticate", "Bearer");
            (request.header("authorization") != Some(wanted.as_str())).then(challenge)
        })
    }

    /// Demands signatures of requests that match `pattern`, and signs the URIs that lead to such paths in all playlists served.
    #[must_use]
    pub fn secure_link(self, pattern: &str, link: &SecureLink) -> Self {
        let (checker, signer, guarded) = (link.clone(), link.clone(), Pattern::new(pattern));
        self.guard(pattern, move |request| checker.refusal(request))
            .rewrite("*.m3u8", move |request, text| Some(signer.rewrite(request, text, &guarded)))
    }

    /// Changes texts (UTF-8, up to 16 MiB) that are served with 200 at paths that match `pattern`; `None` leaves a text as it is.
    #[must_use]
    pub fn rewrite(
        mut self,
        pattern: &str,
        change: impl Fn(&Request, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.rewrites.push((Pattern::new(pattern), Arc::new(change)));
        self
    }

    /// Shows the media playlists that match `pattern` as live ones; their segments exist only when they have been recorded.
    #[must_use]
    pub fn live(self, pattern: &str, live: Live) -> Self {
        let shown = live.clone();
        self.guard("*", move |request| live.guard(request))
            .rewrite(pattern, move |request, text| shown.rewrite(request, text))
    }

    /// Publishes a low-latency live stream below `prefix`; see [`Packager`].
    #[must_use]
    pub fn low_latency(self, prefix: &str, packager: &Packager) -> Self {
        let (packager, mount) = (packager.clone(), mount_point(prefix));
        self.routes(prefix, move |request| {
            packager.answer(request, request.path.strip_prefix(mount.as_str()).unwrap_or_default())
        })
    }

    /// Serves what is below `inner` in sessions below `prefix`; see [`Sessions`].
    #[must_use]
    pub fn sessions(mut self, prefix: &str, inner: &str, sessions: &Sessions) -> Self {
        self.mounts.insert(mount_point(prefix), Mount::Sessions(sessions.clone(), mount_point(inner)));
        self
    }

    /// Answers requests for `path` with a URL that must be generated first; see [`Generating`].
    #[must_use]
    pub fn generating(self, path: &str, generating: Generating) -> Self {
        self.route(path, move |request| generating.answer(request))
    }

    /// The clock that scripts of this site read. Default: [`Clock::real`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds a rule. All rules that play on a request play together, in the order they were added.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.script.add(rule);
        self
    }

    /// The seed of rules with a [`Rule::chance`]. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.script.set_seed(seed);
        self
    }

    /// The network between clients and the origin. Default: as fast as loopback.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    pub(crate) fn put(&mut self, path: &str, body: Body) {
        self.exact.insert(absolute(path), Content::Body(body));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.exact.remove(&absolute(path));
    }

    /// The honest answer to `request`, before conditions and ranges.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let refused = self.guards.iter().filter(|(pattern, _)| pattern.matches(&request.path));
        if let Some(refusal) = refused.into_iter().find_map(|(_, check)| check(request)) {
            return refusal;
        }
        let response = match self.exact.get(&request.path) {
            Some(Content::Body(body)) => Response::ok(body.clone()),
            Some(Content::File(file)) => file_response(file),
            Some(Content::Route(answer)) => answer(request),
            None => self.mounted(request),
        };
        let response = self.rewritten(request, response);
        if response.body.is_empty() || response.header("content-type").is_some() {
            return response;
        }
        response.with_header("Content-Type", media_type(&request.path))
    }

    fn mounted(&self, request: &Request) -> Response {
        let mut mounts = self.mounts.iter().rev();
        let found =
            mounts.find_map(|(prefix, mount)| Some((prefix, request.path.strip_prefix(prefix.as_str())?, mount)));
        match found {
            // The request's path has no `..`, so what is joined stays below the directory.
            Some((_, rest, Mount::Directory(root))) => file_response(&root.join(rest.trim_start_matches('/'))),
            Some((_, _, Mount::Route(answer))) => answer(request),
            Some((prefix, rest, Mount::Sessions(sessions, inner))) if request.session.is_none() => {
                match sessions.enter(request, prefix, rest) {
                    Entry::Answer(response) => response,
                    Entry::Inside { session, rest } => {
                        let path = format!("{inner}{rest}");
                        self.answer(&Request { path, session: Some(session), ..request.clone() })
                    }
                }
            }
            Some((_, _, Mount::Sessions(..))) | None => Response::new(404),
        }
    }

    fn rewritten(&self, request: &Request, mut response: Response) -> Response {
        for (_, change) in self.rewrites.iter().filter(|(pattern, _)| pattern.matches(&request.path)) {
            let bytes = response.body.to_bytes(MAX_TEXT).filter(|_| response.status == 200);
            let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
            if let Some(text) = text.and_then(|text| change(request, text)) {
                response = response.with_body(text);
            }
        }
        response
    }
}

/// Longest text that is rewritten.
const MAX_TEXT: u64 = 16 << 20;

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.exact.keys().chain(self.mounts.keys());
        f.debug_struct("Site").field("paths", &paths.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

fn file_response(path: &Path) -> Response {
    Body::file(path).map_or_else(|_| Response::new(404), Response::ok)
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// A prefix that ends with `/`, so that `/ab` does not mount `/abc`.
fn mount_point(prefix: &str) -> String {
    let name = prefix.trim_matches('/');
    if name.is_empty() { "/".to_owned() } else { format!("/{name}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(site: &Site, target: &str, want: (u16, &str)) {
        let request = Request::parse(format!("GET {target} HTTP/1.1").as_bytes()).unwrap();
        let response = site.answer(&request);
        let body = response.body.to_bytes(1 << 20).unwrap();
        assert_eq!((response.status, std::str::from_utf8(&body).unwrap()), want, "{target}");
    }

    #[test]
    fn the_most_specific_content_answers() {
        let site = Site::new()
            .bytes("a/exact", "exact")
            .routes("/", |_| Response::ok("root"))
            .routes("/a", |request| Response::ok(request.path.clone()));
        check(&site, "/a/exact", (200, "exact"));
        check(&site, "/a/other", (200, "/a/other"));
        check(&site, "/ab", (200, "root"));
        check(&Site::new(), "/", (404, ""));
    }

    #[test]
    fn directories_serve_files_only() {
        let here = env!("CARGO_MANIFEST_DIR");
        let site = Site::new().dir("/crate", here);
        check(&site, "/crate/src", (404, ""));
        check(&site, "/crate/none", (404, ""));
        check(&site, "/crate//etc/hostname", (404, ""));
        let manifest = std::fs::read_to_string(format!("{here}/Cargo.toml")).unwrap();
        check(&site, "/crate/Cargo.toml", (200, &manifest));
    }
}
