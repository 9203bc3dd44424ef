//! Disks that fail under a player: it plays on, nothing wrong is served, and each failure is told once.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kithara_assets::event::StoreEvent;
use kithara_assets::{AssetStore, Clock, DiskOptions, UnixMillis};
use kithara_fetch::{FetchOptions, FetchRequest, StorePace};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use tracing::Level;

use crate::support::*;

const LEN: usize = 100_000;

/// Resources of their own, each of [`LEN`] bytes.
fn origin() -> ScriptedTransport {
    ScriptedTransport::new().otherwise(|sent| Reply::resource(bytes_of(sent.request.url.path())))
}

fn bytes_of(path: &str) -> Vec<u8> {
    let number = path.bytes().fold(7_usize, |sum, byte| sum * 31 + usize::from(byte));
    (0..LEN).map(|n| ((n + number).wrapping_mul(31) % 251) as u8).collect()
}

/// What a store said.
#[derive(Default)]
struct Said {
    degraded: usize,
    recovered: usize,
    lost: usize,
    clock: usize,
}

struct Watched {
    world: World,
    store: AssetStore,
    said: Arc<Mutex<Said>>,
    _watch: kithara_assets::event::Subscription,
}

impl Watched {
    fn open(dir: &Path, options: DiskOptions) -> Self {
        let store = AssetStore::open(dir, DiskOptions { free_space: 0, ..options }).unwrap();
        let said: Arc<Mutex<Said>> = Arc::default();
        let hear = Arc::clone(&said);
        let watch = store.observe_all(move |event| {
            let mut said = hear.lock().unwrap();
            match event {
                StoreEvent::Degraded { .. } => said.degraded += 1,
                StoreEvent::Recovered => said.recovered += 1,
                StoreEvent::Lost { .. } => said.lost += 1,
                StoreEvent::ClockWentBack { .. } => said.clock += 1,
                _ => {}
            }
        });
        Self { world: World::new(origin(), Some(&store)), store, said, _watch: watch }
    }

    /// Plays `names`, which must come out right whatever the disk does.
    async fn play(&self, names: std::ops::Range<u32>) {
        for name in names {
            let request: FetchRequest = request_of(&format!("http://h/{name}"));
            let bytes = self.world.bytes(request).await.unwrap();
            assert!(bytes == bytes_of(&format!("/{name}")), "wrong bytes of {name}");
            settle(&self.store).await;
        }
    }

    fn said(&self) -> (usize, usize) {
        let said = self.said.lock().unwrap();
        (said.degraded, said.recovered)
    }
}

/// Lines of the log at the level of warnings and above, of all threads.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn about(&self, text: &str) -> usize {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count()
    }
}

/// Everything the writer threads of stores log; the same for all tests of the process, which therefore share one run.
fn listen() -> Lines {
    static LINES: std::sync::OnceLock<Lines> = std::sync::OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt().with_max_level(Level::WARN).with_ansi(false);
        let _ = layer.with_writer(move || writer.clone()).try_init();
        lines
    });
    lines.clone()
}

/// A file system of its own, small and in memory. It needs root; without, the test says that it was skipped. With `KITHARA_CI=1`,
/// where there is root, that is a failure.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={kib}k");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path());
        if !mounted {
            let must = std::env::var("KITHARA_CI").is_ok_and(|value| value == "1");
            assert!(!must, "a file system of {kib} KiB cannot be mounted, and nothing may be skipped here");
            #[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
            let () = eprintln!("SKIPPED: a file system of {kib} KiB cannot be mounted here (root is needed)");
        }
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

const WARNING: &str = "the cache cannot be written: going on without";

/// One test, so that the lines of the log can be told apart.
#[tokio::test]
async fn whatever_a_disk_does_playback_goes_on_and_each_failure_is_told_once() {
    let lines = listen();
    let mut told = 0;
    if let Some(disk) = SmallDisk::mount(1024) {
        std::fs::write(disk.0.path().join("other"), vec![1; 700_000]).unwrap();
        let player = Watched::open(disk.0.path(), DiskOptions::default());
        let _playing = player.store.lease(&key_of("").asset());
        player.play(0..12).await;
        assert_eq!(player.said(), (1, 0), "full");
        player.play(0..2).await;
        told += 1;
        assert_eq!(lines.about(WARNING), told, "one line");
    }
    if let Some(disk) = SmallDisk::mount(4096) {
        Watched::open(disk.0.path(), DiskOptions::default()).play(0..2).await;
        // A program that another test is starting holds for a moment what is open here, which keeps a disk from being read-only.
        assert!((0..100).any(|_| run("mount", &["-o", "remount,ro"], disk.0.path())));
        let player =
            Watched::open(disk.0.path(), DiskOptions { retry_after: Duration::ZERO, ..DiskOptions::default() });
        player.play(0..6).await;
        assert_eq!(player.said(), (1, 0), "read-only");
        assert_eq!(player.world.origin.requests().len(), 4, "and what is there is read");
        told += 1;
        assert_eq!(lines.about(WARNING), told, "one line");
    }
    let dir = tempfile::tempdir().unwrap();
    let player = Watched::open(dir.path(), DiskOptions { retry_after: Duration::ZERO, ..DiskOptions::default() });
    // A file where a folder should be denies it to root, too.
    let folder = dir.path().join("v1/assets").join(key_of("").asset().to_string());
    std::fs::write(&folder, b"in the way").unwrap();
    player.play(0..5).await;
    assert_eq!(player.said(), (1, 0), "denied");
    told += 1;
    assert_eq!(lines.about(WARNING), told, "one line");
    std::fs::remove_file(&folder).unwrap();
    player.play(5..8).await;
    assert_eq!(player.said(), (1, 1), "and back");
}

#[cfg(unix)]
mod denied {
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    use super::*;

    const DIR: &str = "KITHARA_FETCH_DENIED_DIR";
    /// Somebody to whom a folder can be denied, which it cannot to root.
    const NOBODY: u32 = 65_534;

    /// In a process of its own, so that the lines of its log are its own.
    #[test]
    fn a_folder_that_is_denied_is_told_of_once_and_used_again_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        // On Linux by a name that leads there also where the folders above may not be entered.
        let own = std::env::current_exe().unwrap();
        let program = if cfg!(target_os = "linux") { Path::new("/proc/self/exe") } else { own.as_path() };
        let mut command = Command::new(program);
        command.args(["--exact", "disks::denied::the_process_that_is_denied"]).env(DIR, dir.path()).current_dir("/");
        if std::fs::metadata(dir.path()).unwrap().uid() == 0 {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success() && told[0].contains("1 passed"), "{}{}", told[0], told[1]);
        // It was there, and not root.
        assert!(dir.path().join(DONE).exists(), "{}{}", told[0], told[1]);
    }

    const DONE: &str = "done";

    /// Does nothing unless it was started by the test above.
    #[tokio::test]
    async fn the_process_that_is_denied() {
        let Some(dir) = std::env::var_os(DIR) else { return };
        let (dir, lines) = (Path::new(&dir), listen());
        let player = Watched::open(dir, DiskOptions { retry_after: Duration::ZERO, ..DiskOptions::default() });
        player.play(0..2).await;
        let folder = dir.join("v1/assets").join(key_of("").asset().to_string());
        let allow = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o500);
        let tried = std::fs::write(folder.join("tried"), b"").map_err(|error| error.kind());
        assert_eq!(tried, Err(ErrorKind::PermissionDenied), "EACCES, in earnest");
        player.play(0..6).await;
        assert_eq!(player.said(), (1, 0), "denied");
        assert_eq!(player.world.origin.requests().len(), 6, "and what is there is read");
        assert_eq!(lines.about(WARNING), 1, "one line");
        allow(0o700);
        player.play(6..8).await;
        assert_eq!(player.said(), (1, 1), "and back");
        player.play(6..8).await;
        assert_eq!(player.world.origin.requests().len(), 8, "stored again");
        std::fs::write(dir.join(DONE), b"").unwrap();
    }
}

#[tokio::test]
async fn files_that_vanish_are_fetched_again() {
    let lines = listen();
    let dir = tempfile::tempdir().unwrap();
    let player = Watched::open(dir.path(), DiskOptions::default());
    player.play(0..4).await;
    for folder in std::fs::read_dir(dir.path().join("v1/assets")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    player.play(0..4).await;
    player.play(0..4).await;
    assert_eq!(player.world.origin.requests().len(), 8, "once, and once more");
    assert_eq!((player.said(), player.said.lock().unwrap().lost), ((0, 0), 4), "each loss is told once");
    assert_eq!(lines.about("a cached file is gone"), 4, "one line each");
}

#[tokio::test]
async fn a_clock_that_goes_back_changes_nothing() {
    let lines = listen();
    let (dir, now) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(2_000_000_000_000)));
    let hands = Arc::clone(&now);
    let clock = Clock::from_fn(move || UnixMillis(hands.load(Ordering::Relaxed)));
    let quota = 4 * 110_000;
    let player = Watched::open(dir.path(), DiskOptions { clock, quota, ..DiskOptions::default() });
    for name in 0..8 {
        player.play(name..name + 1).await;
        now.fetch_sub(400_000_000_000 / 8, Ordering::Relaxed);
    }
    let before = player.world.origin.requests().len();
    player.play(6..8).await;
    assert_eq!(player.world.origin.requests().len(), before, "the newest are there, whatever the clock said");
    assert_eq!((player.said(), player.said.lock().unwrap().clock), ((0, 0), 8), "each jump is told once");
    assert_eq!(lines.about("the clock went back"), 8, "one line each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_waits_for_the_disk_has_everything_stored() {
    let dir = tempfile::tempdir().unwrap();
    // Room for one chunk: every other one has to wait for the disk.
    let options = DiskOptions { free_space: 0, queue_bytes: 1, ..DiskOptions::default() };
    let store = AssetStore::open(dir.path(), options).unwrap();
    let origin = ScriptedTransport::new()
        .otherwise(|sent| Reply::resource(bytes_of(sent.request.url.path())).in_chunks(10_000, Duration::ZERO));
    let pace = FetchOptions { store_pace: StorePace::Wait, ..FetchOptions::default() };
    let world = World::with(origin, Some(&store), pace);
    let names = || (0..40).map(|name| format!("http://h/{name}"));
    for round in 0..2 {
        let all = names().map(|url| world.bytes(request_of(&url)));
        for (bytes, url) in futures_util::future::join_all(all).await.into_iter().zip(names()) {
            assert!(bytes.unwrap() == bytes_of(url.trim_start_matches("http://h")), "wrong bytes of {url}");
        }
        settle(&store).await;
        assert_eq!(world.origin.requests().len(), 40, "round {round}: each is fetched once and stored");
    }
}
