//! One fetch from its first request to the head of its body.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tracing::Span;

use crate::attempt::{Answer, Ask, Failure, attempt};
use crate::body::Body;
use crate::client::Shared;
use crate::header::{Coding, Freshness};
use crate::inflate::inflate;
use crate::placement::Placement;
use crate::transfer::{Interruption, Transfer};
use crate::tries::Tries;
use crate::{Delivery, ErrorKind, Head, NetError, RedactedUrl, Request, RequestRange, Response, Validators};

pub(crate) async fn fetch(shared: Arc<Shared>, request: Request, span: Span) -> Result<Response, NetError> {
    check(&request).map_err(|kind| NetError::new(kind).at(&RedactedUrl::new(&request.url)))?;
    let tries = Tries::new(request.deadline, request.patience, request.observer.clone());
    let request = Arc::new(request);
    if request.delivery != Delivery::Streamed {
        return fetch_whole(&shared, &request, tries).await;
    }
    let (head, transfer) = open(&shared, &request, tries).await?;
    Ok(Response { head, body: Body::arriving(transfer, span) })
}

/// Refuses what can have no answer.
fn check(request: &Request) -> Result<(), ErrorKind> {
    let sound = match &request.range {
        Some(RequestRange::Bounded(range)) => range.start < range.end,
        Some(RequestRange::Suffix(len)) => *len > 0,
        _ => true,
    };
    let web = matches!(request.url.scheme(), "http" | "https");
    let inflated_part = request.delivery == Delivery::WholeInflated && request.range.is_some();
    if sound && web && !inflated_part { Ok(()) } else { Err(ErrorKind::InvalidRequest) }
}

/// Repeats the first request until it has a good head or the policy gives up.
async fn open(shared: &Arc<Shared>, request: &Arc<Request>, mut tries: Tries) -> Result<(Head, Transfer), NetError> {
    let ask = first_ask(request);
    loop {
        tries.next().await;
        let failure = match attempt(shared, request, &ask, &tries.clock).await {
            Ok(answer) => match accept(request, shared, &answer) {
                Ok(placement) => {
                    let head = head(&answer, &placement);
                    let transfer = Transfer::new(Arc::clone(shared), Arc::clone(request), tries, answer, placement);
                    return Ok((head, transfer));
                }
                Err(kind) => answer.failure(kind),
            },
            Err(failure) => failure,
        };
        let Failure { error, origin } = failure;
        let position = match request.range {
            Some(
                RequestRange::Bounded(Range { start, .. }) | RequestRange::From(start) | RequestRange::Growing(start),
            ) => start,
            _ => 0,
        };
        tries.failed(shared, error, origin.as_ref(), position)?;
    }
}

/// The request as the caller means it.
fn first_ask(request: &Request) -> Ask {
    let range = request.range.as_ref().map(|range| match range {
        RequestRange::Bounded(range) => format!("bytes={}-{}", range.start, range.end - 1),
        RequestRange::From(start) => format!("bytes={start}-"),
        RequestRange::Growing(start) => format!("bytes={start}-{GROWING_END}"),
        RequestRange::Suffix(len) => format!("bytes=-{len}"),
    });
    let provided = request.provided.as_ref().filter(|_| range.is_some());
    let unless = request.unless.clone().unwrap_or_default();
    Ask {
        if_range: provided.and_then(|validators| validators.for_if_range().map(str::to_owned)),
        range,
        // The date only counts where there is no ETag (RFC 9110 section 13.1.3).
        if_modified_since: unless.last_modified.filter(|_| unless.etag.is_none()),
        if_none_match: unless.etag,
        gzip: request.delivery == Delivery::WholeInflated,
    }
}

/// Whether a first answer is what was asked for, and where its bytes belong.
fn accept(request: &Request, shared: &Shared, answer: &Answer) -> Result<Placement, ErrorKind> {
    if answer.status == 304 {
        return Ok(Placement { skip: 0, start: 0, end: Some(0), part_end: None, total: None });
    }
    check_coding(request, answer)?;
    if let Some(provided) = &request.provided {
        let now = Validators::of(&answer.headers);
        // An origin that sends everything although the condition holds can only be believed if it proves it.
        let proven = answer.status == 206 || !now.is_empty();
        if !proven || !provided.agree_with(&now) {
            return Err(ErrorKind::Changed);
        }
    }
    let placement = Placement::of_first(request.range.as_ref(), answer.status, &answer.headers)?;
    if placement.skip > shared.options.max_skip {
        return Err(ErrorKind::RangeIgnored);
    }
    let len = placement.end.map(|end| end - placement.start);
    if len.is_some_and(|len| len > request.max_len) { Err(ErrorKind::TooLarge) } else { Ok(placement) }
}

/// Refuses a content coding that was not asked for: its bytes would be delivered as the resource.
pub(crate) fn check_coding(request: &Request, answer: &Answer) -> Result<(), ErrorKind> {
    match Coding::of(&answer.headers) {
        Coding::Identity => Ok(()),
        Coding::Gzip if request.delivery == Delivery::WholeInflated => Ok(()),
        _ => Err(ErrorKind::Encoding),
    }
}

fn head(answer: &Answer, placement: &Placement) -> Head {
    let freshness = Freshness::of(&answer.headers);
    let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Head {
        url: answer.url.clone(),
        status: answer.status,
        range_start: placement.start,
        len: placement.end.map(|end| end - placement.start),
        // Compressed bytes say themselves where they end.
        has_end: answer.has_end || placement.end.is_some() || Coding::of(&answer.headers) == Coding::Gzip,
        total_len: placement.total,
        content_type: content_type.map(str::to_owned),
        validators: Validators::of(&answer.headers),
        age: freshness.age,
        date: freshness.date,
        max_age: freshness.max_age,
        no_store: freshness.no_store,
        time_to_first_byte: answer.time_to_first_byte,
        not_modified: answer.status == 304,
        provenance: answer.provenance,
        headers: answer.headers.clone(),
    }
}

/// Fetches until all of the body is there, beginning anew where it cannot be proven that the rest belongs to the
/// beginning.
async fn fetch_whole(shared: &Arc<Shared>, request: &Arc<Request>, mut tries: Tries) -> Result<Response, NetError> {
    loop {
        let (mut head, mut transfer) = open(shared, request, tries).await?;
        let coded = Coding::of(&head.headers) == Coding::Gzip;
        tries = match collect(&mut transfer, coded).await {
            Ok(bytes) => {
                if !head.not_modified {
                    head.len = Some(bytes.len() as u64);
                    head.total_len = if request.range.is_some() { head.total_len } else { head.len };
                }
                let body = Body::arrived(bytes, head.range_start);
                return Ok(Response { head, body });
            }
            Err(Interruption::Restart) => transfer.into_tries(),
            Err(Interruption::Final(error)) => return Err(error),
        };
    }
}

async fn collect(transfer: &mut Transfer, coded: bool) -> Result<Bytes, Interruption> {
    let mut chunks = Vec::new();
    while let Some(chunk) = transfer.chunk().await? {
        chunks.push(chunk);
    }
    if coded {
        let inflated = inflate(&chunks, transfer.max_len(), transfer.max_inflate_ratio());
        return inflated.map_err(|kind| transfer.rejected(kind));
    }
    Ok(joined(chunks))
}

/// The chunks as one; a single one is not copied.
pub(crate) fn joined(mut chunks: Vec<Bytes>) -> Bytes {
    match chunks.len() {
        0 | 1 => chunks.pop().unwrap_or_default(),
        _ => chunks.concat().into(),
    }
}
/// The last byte position to ask for in a resource that is still growing (RFC 8673 section 2): 2^53 - 1.
pub(crate) const GROWING_END: u64 = (1 << 53) - 1;
