//! Servers that do not serve everybody: signed URLs, sessions, contents that must be generated first.

mod generating;
mod secure_link;
mod sessions;

pub use generating::Generating;
pub use secure_link::SecureLink;
pub(crate) use sessions::Entry;
pub use sessions::Sessions;
