//! Writers without a signing key that change files in the store as fast as possible.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::fixture::*;
use crate::world::World;

/// Thread that creates and touches files with the names of links in a folder, until this value is
/// dropped.
struct Flood {
    touches: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Flood {
    /// Starts the flood. `files`: number of files that the flood leaves in the folder.
    fn start(folder: PathBuf, files: usize) -> Self {
        let (touches, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, ended) = (Arc::clone(&touches), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let touch = count.load(Ordering::SeqCst);
                let name = folder.join((touch % files).to_string());
                if let Ok(file) = File::create(name) {
                    let _gone = file.set_modified(SystemTime::UNIX_EPOCH);
                }
                count.store(touch + 1, Ordering::SeqCst);
            }
        });
        Self { touches, stop }
    }

    fn wait_for(&self, touches: usize) {
        eventually("the flood continues", || {
            self.touches.load(Ordering::SeqCst) >= touches
        });
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

#[test]
fn store_flood_leaves_orders_and_drain_alone() {
    let full = prerequisite::is_full();
    let touches = if full { 200_000 } else { 20_000 };
    let (arrived, there) = mpsc::channel();
    let (proceed, wait) = mpsc::channel::<()>();
    let (arrived, wait) = (Mutex::new(arrived), Mutex::new(wait));
    let upstream = Upstream::start(move |seen, stream| {
        if seen.line().contains("/slow") {
            arrived.lock().unwrap().send(()).unwrap();
            let _ends_with_the_test = wait.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let world = World::new();
    let version = |path| {
        let ops = vec![op("GET", "/slow"), op("GET", path)];
        shop(upstream.address, ops).gateway()
    };
    let one = world.release(&version("/v1"));
    let mut gwd = world.start();
    let two = world.release(&version("/v2"));
    gwd.wait_for(&two);
    let mut busy = Client::connect(gwd.public());
    busy.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    let before = gwd.metric("gwd_store_looks_total", &[]);
    let began = Instant::now();
    let flood = Flood::start(world.path("store/channels/prod"), touches / 10);
    flood.wait_for(touches / 4);
    let start = Instant::now();
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(gwd.runs(&one));
    flood.wait_for(touches);
    let looks = gwd.metric("gwd_store_looks_total", &[]) - before;
    let allowed = began.elapsed().as_secs_f64() * 10.0 + 2.0;
    assert!(looks > 0.0, "events cause looks");
    assert!(looks <= allowed, "{looks} looks, {allowed} allowed");
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    gwd.signal(Signal::TERM);
    let start = Instant::now();
    eventually("/readyz fails", || gwd.open("/readyz").status == 503);
    assert!(start.elapsed() < Duration::from_secs(2));
    proceed.send(()).unwrap();
    assert_eq!(busy.answer().text(), "ok");
    assert_eq!(gwd.wait().code(), Some(0));
    let stopped = gwd.logged("stopped").unwrap();
    assert_eq!(stopped["forced_closes"], 0);
}

#[test]
fn release_after_a_store_flood_is_followed_at_once() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let (gwd, _, _) = world.two_versions(&upstream);
    let flood = Flood::start(world.path("store/channels/prod"), 100);
    flood.wait_for(5_000);
    drop(flood);
    let three = world.release(&crate::world::numbered(&upstream, 3));
    let began = Instant::now();
    gwd.wait_for(&three);
    assert!(began.elapsed() < Duration::from_secs(2));
}
