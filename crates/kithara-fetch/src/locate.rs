//! The URL a request is sent to.

use std::time::Duration;

use http::HeaderMap;

use crate::{Ask, AskReason, FetchError, FetchRequest, Located, resolve_in_time};

/// How long a resolver may take over the URL of one request that says nothing about time itself.
const RESOLVE_LIMIT: Duration = Duration::from_secs(20);

/// Where to send `request`: to its URL, or where its resolver says.
pub(crate) async fn locate(request: &FetchRequest) -> Result<Located, FetchError> {
    let url = request.url.clone();
    let Some(resolver) = &request.resolver else {
        return Ok(Located { url, headers: HeaderMap::new() });
    };
    let patience = request.patience.map(|patience| patience.max_elapsed);
    let limit = request.deadline.or(patience).unwrap_or(RESOLVE_LIMIT);
    let ask = Ask { url, reason: AskReason::Request, attempt: 1, last_error: None };
    resolve_in_time(&**resolver, ask, limit).await
}
