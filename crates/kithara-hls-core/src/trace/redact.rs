//! Secrets out of URLs and playlists.

use std::fmt::Write;

use serde_json::Value;
use url::Url;

/// Replaces what may be secret by a salted hash: the same secret becomes the same hash, so that what belonged together
/// still does.
#[derive(Clone, Copy)]
pub struct Redactor {
    salt: u64,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// A redactor with this salt.
    pub fn new(salt: u64) -> Self {
        Self { salt }
    }

    /// The URL without user name, password, query values and tokens in its path.
    pub fn url(&self, url: &Url) -> Url {
        let mut clean = url.clone();
        // A URL that cannot have a user name has none to remove.
        let _ = clean.set_username("");
        let _ = clean.set_password(None);
        clean.set_fragment(None);
        clean.set_path(&self.path(url.path()));
        clean.set_query(url.query().map(|query| self.query(query)).as_deref());
        clean
    }

    /// The playlist with every URI and every quoted string cleaned.
    pub fn playlist(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches(['\r', '\n']);
            if body.starts_with("#EXT") {
                self.tag(body, &mut clean);
            } else if body.starts_with('#') {
                // A comment means nothing to a session.
                clean.push('#');
            } else {
                clean.push_str(&self.reference(body));
            }
            clean.push_str(&line[body.len()..]);
        }
        clean
    }

    /// The steering manifest with every text in it cleaned; nothing of what is no JSON.
    pub fn steering(&self, text: &str) -> String {
        serde_json::from_str(text).map(|json| self.json(None, json).to_string()).unwrap_or_default()
    }

    fn json(&self, name: Option<&str>, value: Value) -> Value {
        match value {
            // Query parameters, each by its name.
            Value::Object(params) if name == Some("PARAMS") => {
                let clean = |(name, value): (String, Value)| match value {
                    Value::String(value) => (name, Value::String(self.hash(&value))),
                    other => (name, other),
                };
                Value::Object(params.into_iter().map(clean).collect())
            }
            Value::Object(members) => {
                let clean = |(name, value): (String, Value)| {
                    let value = self.json(Some(&name), value);
                    (name, value)
                };
                Value::Object(members.into_iter().map(clean).collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(|it| self.json(name, it)).collect()),
            // Names of pathways, which lead from the manifest to the playlist, are as a playlist's are.
            Value::String(text) => Value::String(self.reference(&text)),
            other => other,
        }
    }

    fn tag(&self, tag: &str, clean: &mut String) {
        let defines = tag.starts_with("#EXT-X-DEFINE:");
        let mut before = "";
        for (idx, piece) in tag.split('"').enumerate() {
            if idx > 0 {
                clean.push('"');
            }
            // Between the first and second quotation mark, the third and fourth, ...
            let quoted = idx % 2 == 1;
            clean.push_str(&match quoted {
                true if defines && before.ends_with("VALUE=") => self.value(piece),
                true => self.reference(piece),
                false => piece.to_owned(),
            });
            before = piece;
        }
    }

    /// The value of a variable: a URI or a part of one, whose query may be all of it. A single word may be a signature
    /// as well as anything else.
    fn value(&self, text: &str) -> String {
        match text {
            uri if uri.contains(['/', '?']) => self.reference(uri),
            query if query.contains('=') => self.query(query),
            word => self.hash(word),
        }
    }

    /// A URI reference, absolute or relative.
    fn reference(&self, text: &str) -> String {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let mut clean = match path.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                format!("{scheme}://{host}{}", self.path(path))
            }
            None => self.path(path),
        };
        if let Some(query) = query {
            clean.push('?');
            clean.push_str(&self.query(query));
        }
        clean
    }

    fn path(&self, path: &str) -> String {
        let parts = parts(path).map(|(part, is_token)| if is_token { self.hash(part) } else { part.to_owned() });
        parts.collect::<Vec<_>>().join("/")
    }

    fn query(&self, query: &str) -> String {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", self.hash(value)),
            None => self.hash(pair),
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// FNV-1a with the salt in front: short, and of no use to whoever does not know the salt.
    fn hash(&self, secret: &str) -> String {
        if secret.is_empty() || is_variable(secret) {
            return secret.to_owned();
        }
        let salted = self.salt.to_le_bytes().into_iter().chain(secret.bytes());
        let hash = salted
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut text = String::from("~");
        write!(text, "{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff)).expect("a string takes all that is written");
        text
    }
}

/// A reference to a playlist variable (EXT-X-DEFINE); its value is cleaned where it is defined.
fn is_variable(text: &str) -> bool {
    text.starts_with("{$") && text.ends_with('}')
}

/// The path of a URL as it may be shown: with an ellipsis for what looks like a token.
pub(crate) fn shown_path(url: &Url) -> String {
    let parts = parts(url.path()).map(|(part, is_token)| if is_token { "…" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// The components of a path, and which of them look like tokens: by themselves, or because they are folders behind the name of one
/// (`/token/…/a.ts`).
fn parts(path: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut components = path.split('/').peekable();
    let mut named = false;
    std::iter::from_fn(move || {
        let part = components.next()?;
        let is_folder = !part.is_empty() && components.peek().is_some();
        let is_named = std::mem::replace(&mut named, is_credential(part));
        Some((part, is_token(part) || (is_named && is_folder)))
    })
}

/// Whether `name` is what a credential is called, or ends so behind another word: `token`, `X-Play-Token`.
fn is_credential(name: &str) -> bool {
    let is = |name: &str| CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known));
    is(name) || name.match_indices(['-', '_', '.']).any(|(at, _)| name.get(at + 1..).is_some_and(is))
}

/// Whether a path component looks like a signature, a token or another random name rather than a word.
fn is_token(part: &str) -> bool {
    // Parameters of a signature, whatever their characters.
    let plain = part.replace("%3D", "=").replace("%3d", "=").replace("%3A", ":").replace("%3a", ":");
    let assignments = plain.split(|c: char| !c.is_ascii_alphanumeric() && !"=:-_.".contains(c));
    if assignments.filter_map(|it| it.split_once(['=', ':'])).any(|(name, _)| is_credential(name)) {
        return true;
    }
    // A JSON object in Base64, as JSON Web Tokens begin.
    let mut objects = plain.match_indices("eyJ").filter(|(at, _)| plain.len() - at >= 10);
    if objects.any(|(at, _)| !plain[..at].ends_with(|c: char| c.is_ascii_alphanumeric())) {
        return true;
    }
    let stem = part.rsplit_once('.').map_or(part, |(stem, _)| stem);
    let all = |of: fn(&u8) -> bool| part.as_bytes().iter().all(of);
    if stem.len() < 16 || !all(|byte| byte.is_ascii_alphanumeric() || b"-_=.~%+,:;".contains(byte)) {
        return false;
    }
    let digits = stem.bytes().filter(u8::is_ascii_digit).count();
    let letters = stem.bytes().filter(u8::is_ascii_alphabetic).count();
    digits >= 2 && letters >= 4 && !is_numbered_word(stem)
}

const CREDENTIALS: &[&str] = &[
    "hdntl",
    "hdnts",
    "hdnea",
    "hmac",
    "token",
    "tkn",
    "tok",
    "access_token",
    "accesstoken",
    "authtoken",
    "auth",
    "authorization",
    "bearer",
    "sig",
    "sign",
    "signature",
    "md5",
    "jwt",
    "policy",
    "key",
    "apikey",
    "secret",
    "password",
    "passwd",
    "pwd",
    "credential",
    "session",
    "sessionid",
    "jsessionid",
    "phpsessid",
    "sid",
    "ticket",
];

/// `segment_000123`, `audio-128k-00042`: words and numbers, each in one piece.
fn is_numbered_word(stem: &str) -> bool {
    let changes =
        stem.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    changes <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, secrets: &[&str], kept: &[&str]) {
        let clean = Redactor::new(7).playlist(text);
        for secret in secrets {
            assert!(!clean.contains(secret), "{secret} stands in {clean}");
        }
        for word in kept {
            assert!(clean.contains(word), "{word} is missing in {clean}");
        }
    }

    #[test]
    fn signed_urls_lose_their_signatures() {
        check(
            "seg0001.ts?md5=abcDEF&expires=1700000000\n",
            &["abcDEF", "1700000000"],
            &["seg0001.ts?md5=~", "&expires=~"],
        );
        check("https://user:pw@cdn/a/b.ts\n", &["user", "pw"], &["https://cdn/a/b.ts"]);
        check("/s/Zk3jQ9x0aB7cD1eF/1700000000/seg_0001.ts\n", &["Zk3jQ9x0aB7cD1eF"], &["seg_0001.ts"]);
        check("/hdntl=exp=1~acl=/*~hmac=2f/a.ts\n", &["hdntl", "2f"], &["/a.ts"]);
        check("#EXT-X-KEY:METHOD=AES-128,URI=\"key.bin?token=hunter2\"\n", &["hunter2"], &["key.bin?token=~"]);
        check("# made for alice\n", &["alice"], &["#"]);
        check("#EXT-X-DEFINE:NAME=\"t\",VALUE=\"hunter\"\n", &["hunter"], &["NAME=\"t\",VALUE=\"~"]);
        check("#EXT-X-DEFINE:NAME=\"q\",VALUE=\"sig=hunter&v=1\"\n", &["hunter"], &["VALUE=\"sig=~"]);
        check("#EXT-X-DEFINE:NAME=\"p\",VALUE=\"https://a:b@h/x\"\n", &["a:b"], &["VALUE=\"https://h/x"]);
    }

    #[test]
    fn a_steering_manifest_loses_its_secrets_and_keeps_its_names() {
        let json = "{\"VERSION\":1,\"RELOAD-URI\":\"s?session=hunter2\",\"PATHWAY-PRIORITY\":[\"CDN-A\"],\
            \"PATHWAY-CLONES\":[{\"BASE-ID\":\"CDN-A\",\"ID\":\"B\",\"URI-REPLACEMENT\":{\"HOST\":\"b.test\",\
            \"PARAMS\":{\"token\":\"swordfish\"},\"PER-VARIANT-URIS\":{\"v\":\"https://u:pw@c/v?k=sesame\"}}}]}";
        let clean = Redactor::new(1).steering(json);
        for secret in ["hunter2", "swordfish", "sesame", "pw"] {
            assert!(!clean.contains(secret), "{secret} stands in {clean}");
        }
        for kept in ["\"VERSION\":1", "CDN-A", "b.test", "token", "https://c/v?k=~"] {
            assert!(clean.contains(kept), "{kept} is missing in {clean}");
        }
        assert_eq!(Redactor::new(1).steering("<html>hunter2"), "");
    }

    #[test]
    fn paths_are_shown_without_tokens() {
        let shown = |url: &str| shown_path(&Url::parse(url).expect("a URL"));
        assert_eq!(shown("https://h/hdntl=exp=1~hmac=2f/v/a.ts?q"), "/…/v/a.ts");
        assert_eq!(shown("https://h/Zk3jQ9x0aB7cD1eF/v/key.bin"), "/…/v/key.bin");
        assert_eq!(shown("https://h/token/hunter2/v/key.bin"), "/token/…/v/key.bin");
        assert_eq!(shown("https://h/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x/a.ts"), "/…/a.ts");
        assert_eq!(shown("https://h/v/a.ts;X-Play-Token=hunter2"), "/v/…");
        assert_eq!(shown("https://h/v/hmac%3Dhunter2/a.ts"), "/v/…/a.ts");
        assert_eq!(shown("https://h/v/session/a.ts"), "/v/session/a.ts");
    }

    #[test]
    fn ordinary_names_stay_readable() {
        check("segment_00000000123.m4s\n", &[], &["segment_00000000123.m4s"]);
        check("#EXTINF:4.0,\naudio-128k-00042.aac\n", &[], &["#EXTINF:4.0,", "audio-128k-00042.aac"]);
    }

    #[test]
    fn the_same_secret_becomes_the_same_hash() {
        let redactor = Redactor::new(1);
        let url = Url::parse("https://h/a.ts?sig=x").expect("a URL");
        assert_eq!(redactor.url(&url), redactor.url(&url));
        assert_ne!(redactor.url(&url), Redactor::new(2).url(&url));
    }
}
