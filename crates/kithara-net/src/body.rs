//! The bytes of a response, whatever happens to the connections they come through.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tracing::{Instrument, Span};

use crate::fetch::joined;
use crate::transfer::{Interruption, Transfer};
use crate::{ErrorKind, NetError};

/// The bytes of a response.
///
/// When the connection breaks, the rest is asked for with `Range` and `If-Range` and follows as if nothing had
/// happened: no byte twice, none missing. Whether the origin honours ranges does not matter, up to
/// [`NetworkOptions::max_skip`](crate::NetworkOptions::max_skip). Dropping the body cancels the exchange.
pub struct Body(Source);

enum Source {
    Arrived { bytes: Bytes, position: u64 },
    Arriving { transfer: Box<Transfer>, span: Span },
}

impl Body {
    /// A body that is there.
    pub(crate) fn arrived(bytes: Bytes, position: u64) -> Self {
        Self(Source::Arrived { bytes, position })
    }

    /// A body on its way; what happens to it is logged in `span`.
    pub(crate) fn arriving(transfer: Transfer, span: Span) -> Self {
        Self(Source::Arriving { transfer: Box::new(transfer), span })
    }

    /// The next bytes in order, never empty; `None` at the end. Cancel-safe: a dropped future loses no byte, skips no
    /// wait and sends nothing twice.
    ///
    /// An error is final and is returned again by further calls. [`ErrorKind::Changed`] means that the resource is
    /// another one by now: what was delivered must be thrown away and fetched anew.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        match &mut self.0 {
            Source::Arrived { bytes, position } => {
                *position += bytes.len() as u64;
                Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()))
            }
            Source::Arriving { transfer, span } => {
                let chunk = transfer.chunk().instrument(span.clone()).await;
                chunk.map_err(|interruption| match interruption {
                    Interruption::Final(error) => error,
                    // A streamed body is never begun anew: its bytes are out.
                    Interruption::Restart => NetError::new(ErrorKind::Changed),
                })
            }
        }
    }

    /// Absolute offset in the resource of the next byte that [`chunk`](Self::chunk) will deliver. At the end this is
    /// the proven end, even where the origin had announced another length.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.0 {
            Source::Arrived { position, .. } => *position,
            Source::Arriving { transfer, .. } => transfer.position(),
        }
    }

    /// All bytes that are left, at most `max`; more fail with [`ErrorKind::TooLarge`].
    pub async fn collect(mut self, max: u64) -> Result<Bytes, NetError> {
        let mut chunks = Vec::new();
        let mut len = 0u64;
        while let Some(chunk) = self.chunk().await? {
            len += chunk.len() as u64;
            if len > max {
                return Err(NetError::new(ErrorKind::TooLarge));
            }
            chunks.push(chunk);
        }
        Ok(joined(chunks))
    }

    /// The chunks as a stream; it ends after an error.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, NetError>> {
        Box::pin(futures_util::stream::try_unfold(self, |mut body| async move {
            Ok(body.chunk().await?.map(|chunk| (chunk, body)))
        }))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("position", &self.position()).finish_non_exhaustive()
    }
}
