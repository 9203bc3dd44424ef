//! The two examples of the public contract, word for word, against a real server on loopback.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use kithara::{
    HlsEvent, HlsOptions,
    abr::{AbrOptions, AbrStrategy},
};
use kithara_hls::{Hls, HlsError, HlsParams};
use kithara_origin::{Origin, Site, demo, fixtures_dir};
use kithara_stream::{StreamSource, SyncReader};

/// What a reader must get: the init section and the segments, one after the other.
fn flat_reading(folder: &Path) -> Vec<u8> {
    let units = ["init.mp4", "seg0.m4s", "seg1.m4s", "seg2.m4s", "seg3.m4s", "seg4.m4s"];
    units.iter().flat_map(|unit| std::fs::read(folder.join(unit)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_is_opened_and_read_like_a_file() -> Result<(), HlsError> {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).unwrap();
    let url = origin.url("/fmp4_aac/index.m3u8");

    let source = StreamSource::<Hls>::open(url, HlsParams::default()).await?;
    let mut events = source.events();
    let reader = SyncReader::new(source);

    let mut reader = reader;
    let bytes = tokio::task::spawn_blocking(move || {
        let mut head = [0; 8];
        reader.read_exact(&mut head).unwrap();
        assert_eq!(&head[4..], b"ftyp");
        // Back to what was read: the same bytes again.
        reader.seek(SeekFrom::Start(0)).unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(bytes.await.unwrap(), flat_reading(&fixtures_dir().join("fmp4_aac")));

    let mut heard = Vec::new();
    while let Ok(event) = events.recv().await {
        heard.push(event);
    }
    let count = |is: fn(&HlsEvent) -> bool| heard.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, HlsEvent::SegmentComplete { .. })), 5);
    assert!(count(|event| matches!(event, HlsEvent::EndOfStream { .. })) >= 1);
    assert_eq!(count(|event| matches!(event, HlsEvent::Error { .. })), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn adaptation_is_told_how_to_decide() -> Result<(), HlsError> {
    let origin = Origin::start(demo()).unwrap();

    #[rustfmt::skip]
    let opts = HlsOptions { abr: AbrOptions { min_buffer_for_up_switch_secs: 15.0, down_switch_buffer_secs: 8.0, throughput_safety_factor: 1.8,
        up_hysteresis_ratio: 1.4, down_hysteresis_ratio: 0.7, min_switch_interval: Duration::from_secs(20), ..Default::default() }, ..Default::default() };

    assert_eq!(opts.abr.resolved_strategy(), AbrStrategy::Threshold);
    let source = StreamSource::<Hls>::open(origin.url("/master.m3u8"), HlsParams::from(opts)).await?;
    let session = source.session().clone();
    assert_eq!(session.status().variants.len(), 3);
    let mut reader = SyncReader::new(source);
    let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
    // Nothing was measured when the variant was chosen, and a flat reader keeps it: the lowest one.
    assert_eq!(read.await.unwrap().unwrap(), 88_437);
    session.close().await;
    Ok(())
}
