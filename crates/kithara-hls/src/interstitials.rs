//! What interstitials play: asset lists, loaded once and remembered (RFC 8216bis appendix D).

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kithara_fetch::net::{RedactedUrl, append_query_raw};
use kithara_hls_core::metadata::{Asset, AssetList, Assets, Interstitial};
use url::Url;

use crate::{error::HlsError, requests::Requests};

/// Lists remembered at most; the ones with the first names make room.
const MOST: usize = 64;

/// The interstitials of one session.
pub(crate) struct Interstitials {
    requests: Requests,
    /// Names this playback to servers that decide what is played: a number that nobody else has.
    primary_id: String,
    /// Lists by what was asked for. Written and read by whoever asks.
    lists: Mutex<BTreeMap<String, AssetList>>,
}

impl Interstitials {
    pub(crate) fn new(requests: Requests) -> Self {
        let half = || RandomState::new().hash_one(0_u8);
        let primary_id = format!("{:016x}{:016x}", half(), half());
        Self { requests, primary_id, lists: Mutex::default() }
    }

    /// What `interstitial` plays for who comes into it so long after its beginning.
    pub(crate) async fn assets_of(&self, interstitial: &Interstitial, offset: Duration) -> Result<AssetList, HlsError> {
        let list = match &interstitial.assets {
            Assets::One(url) => {
                let asset = Asset { url: self.named(url), duration: interstitial.duration.unwrap_or_default() };
                return Ok(AssetList { assets: vec![asset], skip_control: None });
            }
            Assets::List(url) => self.named(url),
        };
        let url = match offset.is_zero() {
            true => list,
            false => append_query_raw(&list, &format!("_HLS_start_offset={}", offset.as_secs_f64())),
        };
        if let Some(known) = self.lists.lock().unwrap_or_else(PoisonError::into_inner).get(url.as_str()) {
            return Ok(known.clone());
        }
        let loaded = self.load(&url).await?;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        while lists.len() >= MOST {
            lists.pop_first();
        }
        lists.insert(url.into(), loaded.clone());
        Ok(loaded)
    }

    async fn load(&self, url: &Url) -> Result<AssetList, HlsError> {
        let whole = self.requests.fetcher.fetch_whole(self.requests.asset_list(url)).await?;
        // Nothing conditional was asked, so there are bytes.
        let json = whole.bytes.as_deref().unwrap_or_default();
        let mut list = AssetList::parse(json).map_err(|error| HlsError::PlaylistParse {
            url: Some(RedactedUrl::new(url)),
            line: None,
            reason: error.to_string().into(),
        })?;
        for asset in &mut list.assets {
            asset.url = self.named(&asset.url);
        }
        Ok(list)
    }

    /// The URL with the name of this playback.
    fn named(&self, url: &Url) -> Url {
        append_query_raw(url, &format!("_HLS_primary_id={}", self.primary_id))
    }
}
