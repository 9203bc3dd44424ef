//! Headers that let somebody in, and where they may go.

use std::error::Error;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use url::Url;

/// Gives the credentials for one hop of one attempt.
///
/// Asked anew at every hop, redirects included, with the very URL that is about to be requested. What it returns is sent to that
/// URL and nowhere else; it wins over headers of the same name from the request.
pub trait Authorizer: Send + Sync + 'static {
    /// Headers for a request to `url`; empty for none. An error fails the fetch with
    /// [`ErrorKind::Authorizer`](crate::ErrorKind::Authorizer); its text is shown, so it must hold no secret.
    fn authorize<'a>(
        &'a self,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<HeaderMap, Box<dyn Error + Send + Sync>>>;
}
