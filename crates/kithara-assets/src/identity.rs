//! What makes two URLs the same resource.

use url::Url;

/// Which query parameters are signatures, and so no part of what a URL identifies.
///
/// A signed URL changes with every visit; the bytes behind it do not. A parameter dropped too many would give one key
/// to different bytes, so short names that mean something else elsewhere (`se`, `sp`, `st`) are dropped only beside the
/// parameter that proves what they are (`sig`). Names are compared without case. What is kept is kept as the raw bytes
/// of the URL, in their order.
///
/// Default: the parameters of Amazon CloudFront and S3, Google Cloud CDN and Storage, Azure SAS, Akamai (also as a path
/// segment `/hdntl=.../`), nginx `secure_link`, Wowza and BunnyCDN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlIdentity {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// In lower case; a final `*` stands for any rest.
    name: String,
    /// The rule holds only in a query that also has this parameter.
    beside: Option<String>,
}

impl UrlIdentity {
    /// The whole URL, apart from user info and fragment, is the identity: no parameter is ignored.
    #[must_use]
    pub const fn exact() -> Self {
        Self { rules: Vec::new() }
    }

    /// Also ignores `name`. A final `*` stands for any rest: `x-amz-*`.
    #[must_use]
    pub fn ignoring(mut self, name: &str) -> Self {
        self.rules.push(Rule { name: name.to_ascii_lowercase(), beside: None });
        self
    }

    /// Also ignores `name` where the query has `beside`, too.
    #[must_use]
    pub fn ignoring_beside(mut self, name: &str, beside: &str) -> Self {
        self.rules.push(Rule { name: name.to_ascii_lowercase(), beside: Some(beside.to_ascii_lowercase()) });
        self
    }

    /// Stops ignoring `name`, spelt as it was given (`x-amz-*`, not `x-amz-date`).
    #[must_use]
    pub fn keeping(mut self, name: &str) -> Self {
        self.rules.retain(|rule| !rule.name.eq_ignore_ascii_case(name));
        self
    }

    /// `url` without user info, fragment and signing parameters. Equal texts mean equal resources.
    #[must_use]
    pub fn canonical(&self, url: &Url) -> String {
        let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            text.push_str(&format!(":{port}"));
        }
        let path = url.path().split('/').filter(|segment| !is_signed_segment(segment)).collect::<Vec<_>>();
        text.push_str(&path.join("/"));
        let mut separator = '?';
        for parameter in self.kept(url.query().unwrap_or_default()) {
            text.push(separator);
            text.push_str(parameter);
            separator = '&';
        }
        text
    }

    /// `reference`, a URL or a part of one as it stands in a document, without signing parameters; everything else is
    /// as it was.
    #[must_use]
    pub fn unsigned(&self, reference: &str) -> String {
        let (address, fragment) = reference.split_once('#').map_or((reference, None), |(it, rest)| (it, Some(rest)));
        let (path, query) = address.split_once('?').map_or((address, None), |(it, rest)| (it, Some(rest)));
        let kept: Vec<&str> = query.into_iter().flat_map(|query| self.kept(query)).collect();
        let all = query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()).count();
        if kept.len() == all && !path.split('/').any(is_signed_segment) {
            return reference.to_owned();
        }
        let segments = path.split('/').filter(|segment| !is_signed_segment(segment));
        let mut text = segments.collect::<Vec<_>>().join("/");
        if !kept.is_empty() {
            text.push('?');
            text.push_str(&kept.join("&"));
        }
        if let Some(fragment) = fragment {
            text.push('#');
            text.push_str(fragment);
        }
        text
    }

    fn kept<'a>(&self, query: &'a str) -> impl Iterator<Item = &'a str> {
        let parameters = || query.split('&').filter(|parameter| !parameter.is_empty());
        let present: Vec<String> = parameters().map(name_of).collect();
        parameters()
            .zip(present.clone())
            .filter(move |(_, name)| !self.ignores(name, &present))
            .map(|(parameter, _)| parameter)
    }

    fn ignores(&self, name: &str, present: &[String]) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.matches(name) && rule.beside.as_ref().is_none_or(|beside| present.contains(beside)))
    }
}

impl Rule {
    fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.name == name,
        }
    }
}

impl Default for UrlIdentity {
    fn default() -> Self {
        let plain = SIGNING.iter().fold(Self::exact(), |identity, name| identity.ignoring(name));
        BESIDE.iter().fold(plain, |identity, (name, beside)| identity.ignoring_beside(name, beside))
    }
}

/// The lower-case name of a `name=value` parameter, compared as it stands: `%6Dd5` is not `md5`.
fn name_of(parameter: &str) -> String {
    parameter.split('=').next().unwrap_or_default().to_ascii_lowercase()
}

/// Akamai's token in the path: `/hdntl=exp=1~acl=/*~hmac=.../`, whose access list may have slashes of its own.
pub(crate) fn is_signed_segment(segment: &str) -> bool {
    ["hdntl=", "hdnts=", "hdnea="].iter().any(|token| segment.starts_with(token)) || segment.contains("~hmac=")
}

const SIGNING: &[&str] = &[
    // nginx secure_link and its many imitations.
    "md5",
    "expires",
    "expire",
    "exp",
    "hmac",
    // Tokens in general.
    "token",
    "access_token",
    "auth_token",
    "auth_key",
    "jwt",
    "auth",
    "authorization",
    "authtoken",
    "accesstoken",
    "bearer",
    "tkn",
    "apikey",
    "api_key",
    "api-key",
    "password",
    "passwd",
    "pwd",
    "credential",
    "credentials",
    "sig",
    "sign",
    "signature",
    // Amazon S3 and CloudFront; Google Cloud Storage and CDN.
    "x-amz-*",
    "awsaccesskeyid",
    "policy",
    "key-pair-id",
    "x-goog-*",
    "googleaccessid",
    // Akamai, Wowza, BunnyCDN.
    "hdnea",
    "hdnts",
    "hdntl",
    "__token__",
    "__gda__",
    "wowzatokenhash",
    "wowzatokenendtime",
    "wowzatokenstarttime",
    "bcdn_token",
    "token_path",
];

/// Names that sign only in company: Azure's shared access signatures, Google's signed cookies, nginx's two-letter
/// habit.
const BESIDE: &[(&str, &str)] = &[
    ("se", "sig"),
    ("sp", "sig"),
    ("st", "sig"),
    ("sv", "sig"),
    ("sr", "sig"),
    ("spr", "sig"),
    ("sip", "sig"),
    ("sdd", "sig"),
    ("skoid", "sig"),
    ("sktid", "sig"),
    ("skt", "sig"),
    ("ske", "sig"),
    ("sks", "sig"),
    ("skv", "sig"),
    ("keyname", "signature"),
    ("urlprefix", "signature"),
    ("e", "md5"),
    ("st", "md5"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lose_their_signatures_and_nothing_else() {
        for (signed, want) in [
            ("a.ts", "a.ts"),
            ("../a.ts?md5=x&expires=1", "../a.ts"),
            ("https://h/a.ts?v=1&md5=x&w=%2F#f", "https://h/a.ts?v=1&w=%2F#f"),
            ("/hdntl=exp=1~hmac=2/a.ts?q=1", "/a.ts?q=1"),
            ("a.ts?X-Amz-Signature=1&X-Amz-Date=2", "a.ts"),
            ("a.ts?se=1&sp=2", "a.ts?se=1&sp=2"),
        ] {
            assert_eq!(UrlIdentity::default().unsigned(signed), want, "{signed}");
        }
        assert_eq!(UrlIdentity::exact().unsigned("a.ts?md5=x"), "a.ts?md5=x");
    }

    #[track_caller]
    fn check(identity: &UrlIdentity, url: &str, want: &str) {
        assert_eq!(identity.canonical(&url.parse().unwrap()), want);
    }

    #[test]
    fn signing_parameters_are_dropped() {
        let default = UrlIdentity::default();
        check(&default, "https://a.example/s.ts", "https://a.example/s.ts");
        check(&default, "https://a.example/s.ts?", "https://a.example/s.ts");
        check(&default, "https://a.example/s.ts?md5=a&expires=1", "https://a.example/s.ts");
        check(&default, "https://a.example/s.ts?X-Amz-Date=1&x=2&X-AMZ-Signature=b", "https://a.example/s.ts?x=2");
        check(
            &default,
            "https://a.example/s.ts?Policy=a&Signature=b&Key-Pair-Id=c&Expires=1",
            "https://a.example/s.ts",
        );
        check(&default, "https://a.example/s.ts?hdnea=exp=1~acl=/*~hmac=2&v=1", "https://a.example/s.ts?v=1");
        check(&default, "https://a.example/hdntl=exp=1~hmac=2/p/s.ts", "https://a.example/p/s.ts");
        check(&default, "https://a.example/hdntl=exp=1~acl=/*~hmac=2/p/s.ts", "https://a.example/p/s.ts");
    }

    #[test]
    fn what_identifies_is_kept_raw_and_in_order() {
        let default = UrlIdentity::default();
        check(&default, "https://a.example/s.ts?b=%2f&a=1&&b", "https://a.example/s.ts?b=%2f&a=1&b");
        check(&default, "http://u:p@A.example:8080/s.ts?a#f", "http://a.example:8080/s.ts?a");
        check(&default, "https://a.example:443/s.ts", "https://a.example/s.ts");
    }

    #[test]
    fn short_names_sign_only_in_company() {
        let default = UrlIdentity::default();
        check(&default, "https://a.example/s?st=1&se=5", "https://a.example/s?st=1&se=5");
        check(&default, "https://a.example/s?st=1&se=5&sp=r&sig=x", "https://a.example/s");
        check(&default, "https://a.example/s?e=5", "https://a.example/s?e=5");
        check(&default, "https://a.example/s?md5=x&e=5", "https://a.example/s");
    }

    #[test]
    fn the_list_is_the_applications() {
        check(&UrlIdentity::exact(), "https://a.example/s?md5=1", "https://a.example/s?md5=1");
        check(
            &UrlIdentity::exact().ignoring("Ticket*"),
            "https://a.example/s?ticket7=1&b=2",
            "https://a.example/s?b=2",
        );
        check(
            &UrlIdentity::default().keeping("Token"),
            "https://a.example/s?token=1&md5=2",
            "https://a.example/s?token=1",
        );
    }
}
