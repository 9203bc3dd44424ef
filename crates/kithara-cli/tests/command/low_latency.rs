//! Low latency from the recorder to the samples: nothing is heard before it is published, and all of it as it is.

use std::{
    io::Read,
    process::{ChildStdout, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use kithara_origin::{Clock, Logged, Origin, Packager, Recording, Site, fixtures_dir};

use crate::{finished, kithara, serve};

const PATH: &str = "a/index.m3u8";
const RATE: u64 = 48_000;
/// Bytes of a frame: two samples of 16 bits.
const FRAME: u64 = 4;
/// Longer than anything takes that is not hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what is read, on a thread of its own; the channel closes at the end.
fn count(mut pipe: ChildStdout) -> mpsc::Receiver<u64> {
    let (tell, counts) = mpsc::channel();
    thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buf) {
            if tell.send(count as u64).is_err() {
                return;
            }
        }
    });
    counts
}

fn until_held(origin: &Origin, wanted: impl Fn(&Logged) -> bool) {
    let is_held = |entry: &Logged| entry.is_held && entry.ended.is_none() && wanted(entry);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let held = origin.until(|origin| origin.log().iter().any(is_held));
    runtime.block_on(async { tokio::time::timeout(PATIENCE, held).await }).expect("the player waits for the next part");
}

#[test]
fn a_part_is_heard_when_it_is_published_and_before_the_next_one_is() {
    let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).unwrap();
    let packager = Packager::new(Duration::from_millis(200)).start(2).rendition(PATH, &sound);
    let clock = Clock::manual();
    let origin = serve(Site::new().low_latency("/", &packager).clock(clock.clone()));
    let url = origin.url(PATH);
    let args = ["play", &url, "--no-cache", "--output", "raw:-", "--format", "s16le"];
    let mut child = kithara(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let counts = count(child.stdout.take().unwrap());
    let frames = |time: Duration| (time.as_secs_f64() * RATE as f64).round() as u64;
    // What was heard before the first part, at least; from then on each part is as much more.
    let (mut heard, mut goal) = (0, None);
    // How much was heard before each part, and where the media before it end.
    let mut before = Vec::new();
    let schedule = packager.schedule(PATH);
    let ends = schedule.iter().skip(1).map(|next| next.start).chain([packager.length(PATH)]);
    for (published, end) in schedule.iter().zip(ends).filter(|(published, _)| !published.at.is_zero()) {
        until_held(&origin, |entry| entry.path == format!("/a/seg{}.{}.m4s", published.msn, published.part));
        heard += counts.try_iter().sum::<u64>();
        before.push((heard, published.start));
        clock.advance((packager.begun().unwrap() + published.at).saturating_sub(clock.elapsed()));
        // All of it is heard, though the next part is not there and will not be until it was.
        let goal = goal.get_or_insert(heard);
        *goal += frames(end - published.start) * FRAME;
        while heard < *goal {
            heard += counts.recv_timeout(PATIENCE).expect("the part is heard");
        }
    }
    heard += counts.iter().sum::<u64>();
    let run = finished(child).succeeded();
    // Playback began so many frames after the recording, and went on to its end.
    let first = frames(packager.length(PATH)).checked_sub(heard / FRAME).expect("no more is heard than was recorded");
    assert!(
        before.iter().all(|(heard, start)| heard / FRAME <= frames(*start) - first),
        "{before:?} {first} {}",
        run.stderr
    );
}
