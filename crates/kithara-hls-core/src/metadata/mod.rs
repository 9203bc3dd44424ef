//! What happens at a time besides the media: date ranges, interstitials, and whatever else has a place on presentation
//! time.
//!
//! [`MetadataTimeline`] holds entries by their time and answers what begins in a stretch, what is active at a moment, and
//! what a playhead crosses. [`Interstitial`] gives the attributes of a date range of that class their types.

mod interstitial;
mod timeline;

pub use interstitial::{
    Asset, AssetList, Assets, Interstitial, InvalidInterstitial, Occupies, SkipControl, TimelineStyle,
};
pub use timeline::{Crossing, Entry, Extent, MetadataTimeline};
