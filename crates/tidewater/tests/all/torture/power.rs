//! Power cuts of a real file system: ext4 in a file, whose device stops taking writes at a random moment.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Random, amount, bar, figure, seed};
use crate::crash::{CALM, FAST};
use crate::harness::{Server, folder, tidewater};
use crate::oracle::Known;

/// A file system in a file, mounted so that it writes as late as it may; unmounted when dropped.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// None where there is no right to mount.
    fn new(dir: &Path) -> Option<Self> {
        let disk = Self { image: dir.join("disk.img"), at: dir.join("disk") };
        let file = std::fs::File::create(&disk.image).expect("the folder is ours");
        file.set_len(1 << 30).expect("a sparse file");
        std::fs::create_dir(&disk.at).expect("the folder is ours");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image).output();
        (made.is_ok_and(|o| o.status.success()) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        // renames and truncations are not written early for careless programs either
        let options = "loop,commit=300,noauto_da_alloc";
        let mounted = Command::new("mount").args(["-o", options]).arg(&self.image).arg(&self.at).output();
        mounted.is_ok_and(|o| o.status.success())
    }

    /// From now on nothing reaches the device, as when the power goes (FS_IOC_SHUTDOWN without a flush of the journal,
    /// what xfstests calls godown).
    ///
    /// While that call goes on, the kernel reports as synced what is not: of 200 files that one thread wrote to and synced,
    /// 19 lacked their last record, never one whose sync had ended before (Linux 6.18). With the power gone no answer would
    /// leave the machine, so `gone` is set first, and answers count until then.
    fn cut(&self, gone: &AtomicBool) {
        let script = "import fcntl, os, struct, sys; file = os.open(sys.argv[1], os.O_RDONLY); print(flush=True); \
                      sys.stdin.readline(); fcntl.ioctl(file, 0x8004587D, struct.pack('I', 2))";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&self.at).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut python = python.spawn().expect("python3");
        let mut ready = [0];
        python.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it is ready");
        gone.store(true, Ordering::SeqCst);
        python.stdin.as_mut().expect("piped").write_all(b"\n").expect("it waits");
        let cut = python.wait_with_output().expect("it ends");
        assert!(cut.status.success(), "{}", String::from_utf8_lossy(&cut.stderr));
    }

    /// What the device has, read anew.
    fn come_back(&self) {
        assert!(self.unmount(), "{} cannot be unmounted", self.at.display());
        assert!(self.mount(), "{} cannot be mounted again", self.at.display());
    }

    fn unmount(&self) -> bool {
        Command::new("umount").arg(&self.at).output().is_ok_and(|o| o.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.unmount() {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}

/// After so many cuts a new file system: what the oracle compares grows with each.
const CUTS_A_DISK: u64 = 50;

#[test]
fn a_file_system_that_loses_power_keeps_what_was_acknowledged() {
    let cuts = amount(6);
    let mut random = Random(seed());
    let (mut done, mut acknowledged, mut unknown) = (0, 0, 0);
    let bar = bar("power cuts", cuts);
    while done < cuts {
        let dir = folder();
        let Some(disk) = Disk::new(dir.path()) else {
            println!("skipped: no file system can be mounted without root and mkfs.ext4");
            return;
        };
        let data = disk.at.join("data");
        let place = format!("storage.local_path={}", data.display());
        let fast: Vec<&str> = FAST.iter().copied().chain([&*place]).collect();
        let calm: Vec<&str> = CALM.iter().copied().chain([&*place]).collect();
        let mut known = Known::new();
        let mut server = Server::start(dir.path(), &fast);
        known.prepare(&server);
        for _ in 0..CUTS_A_DISK.min(cuts - done) {
            let what = format!("cut {done} of seed {}", seed());
            let gone = Arc::clone(&known.cut);
            std::thread::scope(|scope| {
                let load = scope.spawn(|| known.load(&server, Instant::now() + Duration::from_secs(20)));
                std::thread::sleep(Duration::from_millis(50 + random.below(700))); // the moment of the cut
                disk.cut(&gone);
                load.join().expect("the load ends");
            });
            let status = server.wait_end(Duration::from_secs(10)).unwrap_or_else(|| panic!("{what}: it goes on"));
            assert_eq!(status.code(), Some(74), "{what}: {status}");
            disk.come_back();
            let (is_whole, said) = tidewater(&["doctor", data.to_str().expect("plain"), "--deep"], &[]);
            assert!(is_whole, "{what}: {said}");
            let mut looked = Server::start(dir.path(), &calm);
            gone.store(false, Ordering::SeqCst);
            known.check(&looked).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            looked.kill();
            server = Server::start(dir.path(), &fast);
            done += 1;
            bar.inc(1);
        }
        server.kill();
        acknowledged += known.acknowledged.len();
        unknown += known.unknown.len();
    }
    bar.finish_and_clear();
    figure(
        "power",
        &format!(
            "{done} cuts, {acknowledged} requests acknowledged, {unknown} without an answer: 0 lost, 0 doubled, 0 torn, \
             0 files in the catalog absent or short"
        ),
    );
    assert!(acknowledged as u64 > done * 10, "the writers got through: {acknowledged}");
}
