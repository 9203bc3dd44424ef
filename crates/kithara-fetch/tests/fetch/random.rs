//! Whatever is stored and whatever is wanted: the right bytes, and requests for the holes alone.

use std::ops::Range;

use kithara_fetch::{FetchOptions, FetchRequest};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use proptest::prelude::*;

use crate::support::*;

const LEN: usize = 60;

fn within() -> impl Strategy<Value = Range<usize>> {
    (0..LEN, 1..20_usize).prop_map(|(start, len)| start..(start + len).min(LEN))
}

/// Byte offsets a list of `Range` headers asks for.
fn asked(ranges: &[String]) -> Vec<usize> {
    let offsets = |range: &String| match range.split_once('-') {
        None => 0..LEN,
        Some((first, last)) => first.parse().unwrap()..last.parse::<usize>().map_or(LEN, |last| last + 1).min(LEN),
    };
    ranges.iter().flat_map(offsets).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_fetch_gives_the_right_bytes_and_asks_for_holes_alone(
        stored in prop::collection::vec(within(), 0..6),
        knows_total in any::<bool>(),
        wanted in prop::option::of(within()),
        chunk in 1..20_usize,
        window in 1..100_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bytes = pattern(LEN);
            let etag = etag_of(bytes.clone()).await;
            let Stores { store, .. } = &memory_store();
            let origin = ScriptedTransport::new().on(URL, [Reply::resource(bytes.clone()).in_chunks(chunk, ms(1))]);
            let world = World::with(origin, Some(store), FetchOptions { window, ..FetchOptions::default() });
            let total = knows_total.then_some(LEN as u64);
            for span in &stored {
                // A span within another brings nothing new.
                let mut writer = resource(store).writer(span.start as u64, meta(Some(&etag)));
                let _ = writer.write(bytes.slice(span.clone()));
                let _ = writer.commit(total).await;
            }
            let range = wanted.clone().map(|range| range.start as u64..range.end as u64);
            let want = wanted.unwrap_or(0..LEN);
            let got = world.bytes(FetchRequest { range: range.clone(), ..request() }).await.unwrap();
            assert_eq!(got, bytes.slice(want.clone()));

            let is_stored = |offset: &usize| stored.iter().any(|span| span.contains(offset));
            let missing: Vec<usize> = want.filter(|offset| !is_stored(offset)).collect();
            assert_eq!(asked(&world.ranges()), missing);

            settle(store).await;
            let before = world.ranges().len();
            assert_eq!(world.bytes(FetchRequest { range, ..request() }).await.unwrap(), got);
            assert_eq!(world.ranges().len(), before, "everything is stored now");
        });
    }
}
