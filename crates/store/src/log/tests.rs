#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::os::unix::fs::FileExt;

use model::Lsn;

use super::*;
use crate::error::Result;

pub(super) const ID: LogId = [7; 16];

/// Writes `groups` groups of two records each, every one synced; returns the folder.
pub(super) fn written(groups: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    for group in 0..groups {
        append(&mut log, group);
        log.sync().unwrap();
    }
    folder
}

/// Bytes of a segment: small, for many logs are made.
pub(super) const SEGMENT: u64 = 1 << 20;

pub(super) fn open(folder: &Path) -> Result<LogWriter> {
    let recovered = recover(folder, &ID, |_, _| Ok(()))?;
    LogWriter::open(folder.to_owned(), ID, &recovered, SEGMENT, 0)
}

pub(super) fn append(log: &mut LogWriter, group: u64) {
    let bodies = [vec![group as u8; 300], vec![group as u8; 5]];
    let lsn = |i: u64| Lsn(group * 2 + i + 1);
    log.append(&[(lsn(0), &bodies[0]), (lsn(1), &bodies[1])]).unwrap();
}

pub(super) fn lsns(folder: &Path) -> (Vec<u64>, Recovered) {
    let mut found = Vec::new();
    let recovered = recover(folder, &ID, |lsn, _| {
        found.push(lsn.0);
        Ok(())
    })
    .unwrap();
    (found, recovered)
}

pub(super) fn first_segment(folder: &Path) -> PathBuf {
    segment_path(folder, 1)
}

/// Offsets at which the groups of the first segment begin; each takes 1 024 bytes here.
pub(super) fn group_at(group: u64) -> u64 {
    512 + group * 512
}

#[test]
fn what_was_appended_is_recovered_in_order() {
    let folder = written(5);
    let (found, recovered) = lsns(folder.path());
    assert_eq!(found, (1..=10).collect::<Vec<_>>());
    assert!(recovered.torn.is_none() && recovered.damage.is_none());
    assert_eq!(recovered.last_lsn, 10);
}

#[test]
fn every_truncation_gives_an_exact_prefix() {
    let folder = written(4);
    let path = first_segment(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let end = group_at(4) as usize;
    for cut in (512..end).step_by(7) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (found, _) = lsns(folder.path());
        // a group counts when its last byte is there
        let groups = (0..4).filter(|g| group_at(*g) as usize + 44 + 300 + 5 + 24 <= cut).count() as u64;
        assert_eq!(found, (1..=groups * 2).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn random_flips_below_the_durable_mark_are_damage_with_file_and_offset() {
    let folder = written(6);
    let path = first_segment(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // the last header carries the end of the fifth group as durable
    for at in (group_at(0)..group_at(5)).step_by(11) {
        let in_group = (at - 512) % 512;
        if in_group >= 44 + 300 + 5 + 24 {
            continue; // padding means nothing
        }
        let byte = whole[at as usize];
        file.write_all_at(&[byte ^ 0x10], at).unwrap();
        let (found, recovered) = lsns(folder.path());
        file.write_all_at(&[byte], at).unwrap();
        let damage = recovered.damage.unwrap_or_else(|| panic!("flip at {at} is not seen"));
        let group = (at - 512) / 512;
        assert_eq!((damage.file.as_path(), damage.offset), (path.as_path(), group_at(group)));
        assert_eq!(found, (1..=group * 2).collect::<Vec<_>>());
    }
}

#[test]
fn pages_of_the_last_group_persisted_in_any_order_are_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 0);
    log.sync().unwrap();
    let big = vec![9u8; 3 * 4096];
    log.append(&[(Lsn(3), &big)]).unwrap(); // written, never synced
    let path = first_segment(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let start = group_at(1) as usize;
    for lost in [0usize, 1, 2, 3] {
        let mut bytes = whole.clone();
        let page = (start / 4096 + lost) * 4096;
        bytes[page.max(start)..page + 4096].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let (found, recovered) = lsns(folder.path());
        assert_eq!(found, [1, 2], "page {lost}");
        assert!(recovered.damage.is_none(), "page {lost}: {:?}", recovered.damage);
    }
}

#[test]
fn a_new_process_goes_on_in_a_fresh_segment_and_nothing_old_comes_back() {
    let folder = written(3);
    // torn: the last group loses its end
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[group_at(2) as usize + 60] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(lsns(folder.path()).1.torn.is_some());
    let mut log = open(folder.path()).unwrap();
    log.append(&[(Lsn(100), b"new")]).unwrap();
    log.sync().unwrap();
    // mending the torn bytes afterwards brings nothing back: the successor says where its predecessor ends
    bytes[group_at(2) as usize + 60] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (found, recovered) = lsns(folder.path());
    assert_eq!(found, [1, 2, 3, 4, 100]);
    assert!(recovered.damage.is_none(), "{:?}", recovered.damage);
}

#[test]
fn the_mark_of_a_silent_log_makes_its_last_group_known_to_be_durable() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 0);
    log.sync().unwrap();
    log.mark().unwrap();
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[group_at(0) as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(lsns(folder.path()).1.damage.is_some());
}

#[test]
fn recycled_segments_never_show_their_past() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    let body = vec![1u8; 6 << 20];
    for lsn in 1..=40u64 {
        log.append(&[(Lsn(lsn), &body)]).unwrap();
        log.sync().unwrap();
        log.free_below(Lsn(lsn)).unwrap();
    }
    let (found, recovered) = lsns(folder.path());
    assert_eq!(found.last(), Some(&40));
    assert!(found.windows(2).all(|w| w[1] == w[0] + 1), "{found:?}");
    assert!(recovered.damage.is_none() && sequences(folder.path()).unwrap().len() <= 2);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 0);
    let big = vec![5u8; 70 << 20];
    log.append(&[(Lsn(3), &big)]).unwrap();
    log.sync().unwrap();
    let (found, recovered) = lsns(folder.path());
    assert_eq!((found, recovered.damage), (vec![1, 2, 3], None));
}

#[test]
fn repair_cuts_at_the_damage_and_keeps_the_cut_bytes() {
    let folder = written(6);
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[group_at(2) as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = repair(folder.path(), &ID).unwrap();
    assert_eq!((report.records_kept, report.last_lsn), (4, 4));
    assert_eq!(report.bytes_cut, bytes.len() as u64 - group_at(2));
    assert_eq!(std::fs::read(&report.kept[0]).unwrap(), bytes);
    let mut log = open(folder.path()).unwrap();
    log.append(&[(Lsn(50), b"x")]).unwrap();
    log.sync().unwrap();
    assert_eq!(lsns(folder.path()).0, [1, 2, 3, 4, 50]);
    assert!(repair(folder.path(), &ID).unwrap().damage.is_none());
}

#[test]
fn a_log_of_another_id_is_refused() {
    let folder = written(1);
    let error = recover(folder.path(), &[8; 16], |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("belongs to another log"), "{error}");
}

#[test]
fn t25_a_segment_of_length_zero_at_the_end_is_passed_over_and_one_in_the_middle_is_damage() {
    let folder = written(3);
    std::fs::write(segment_path(folder.path(), 2), b"").unwrap();
    let (found, recovered) = lsns(folder.path());
    assert_eq!((found.len(), recovered.damage.is_none()), (6, true), "it was created and never used");
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 3);
    log.sync().unwrap();
    drop(log);
    let (found, recovered) = lsns(folder.path());
    assert_eq!((found.len(), recovered.damage.is_none()), (8, true), "and the next process went on without it");
    let used = recovered.segments.last().unwrap().sequence;
    std::fs::write(segment_path(folder.path(), used + 1), b"").unwrap();
    std::fs::copy(segment_path(folder.path(), used), segment_path(folder.path(), used + 2)).unwrap();
    let mut bytes = std::fs::read(segment_path(folder.path(), used + 2)).unwrap();
    let header = format::SegmentHeader { log_id: ID, sequence: used + 2, predecessor: recovered.end };
    bytes[..512].copy_from_slice(&header.encode());
    std::fs::write(segment_path(folder.path(), used + 2), &bytes).unwrap();
    let damage = lsns(folder.path()).1.damage.expect("a used segment follows it");
    assert_eq!((damage.file, damage.offset), (segment_path(folder.path(), used + 1), 0));
}

#[test]
fn t25_a_log_of_another_version_is_refused_by_name_and_left_as_it_is() {
    let folder = written(2);
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(b"TWLOG000");
    let crc = crc32c::crc32c(&bytes[..48]);
    bytes[48..52].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = recover(folder.path(), &ID, |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("version 000") && error.contains(&path.display().to_string()), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_flip_in_the_header_of_the_only_segment_is_damage_and_not_an_empty_log() {
    let folder = written(2);
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let damage = lsns(folder.path()).1.damage.expect("it holds groups");
    assert_eq!((damage.file, damage.offset), (path, 0));
}

/// Damaged logs in `.ci/run`; `cargo xtask torture rot-log` opens 200 000.
const DAMAGED: u64 = 3_000;

/// Numbers by a seed (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let a = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[test]
fn random_damage_below_the_durable_mark_is_named_and_no_record_is_wrong() {
    use std::io::{Seek as _, SeekFrom, Write as _};
    const GROUPS: u64 = 6;
    /// Of a group and of a segment's header, before the padding.
    const WRITTEN: u64 = 44 + 300 + 5 + 24;
    const HEADER: u64 = 52;
    let mut random = crate::asked("TW_SEED").unwrap_or(1);
    let folder = written(GROUPS);
    // a second segment, so that two can be exchanged
    let mut log = open(folder.path()).unwrap();
    append(&mut log, GROUPS);
    log.sync().unwrap();
    append(&mut log, GROUPS + 1);
    log.sync().unwrap();
    drop(log);
    let all: Vec<u64> = (1..=(GROUPS + 2) * 2).collect();
    assert_eq!(lsns(folder.path()).0, all);
    let (path, second) = (first_segment(folder.path()), segment_path(folder.path(), 2));
    let used = group_at(GROUPS) as usize;
    // what was allocated and never written only takes time to read
    for (segment, bytes) in [(&path, used as u64), (&second, group_at(2))] {
        std::fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(bytes).unwrap();
    }
    let others = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path());
    others.filter(|p| *p != path && *p != second).for_each(|p| std::fs::remove_file(p).unwrap());
    assert_eq!(lsns(folder.path()).0, all);
    let whole = std::fs::read(&path).unwrap();
    let write = |at: u64, bytes: &[u8]| {
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    };
    let aside = folder.path().join("aside");
    let cases = crate::asked("TW_AMOUNT").unwrap_or(DAMAGED);
    for case in 0..cases {
        crate::say_progress(case, cases);
        let at = next(&mut random) % used as u64;
        let group = (at.saturating_sub(512)) / 512;
        let (kind, bit) = (next(&mut random) % 16, 1u8 << (next(&mut random) % 8));
        let what = format!("case {case}: kind {kind} at {at}");
        match kind {
            0 => std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(at).unwrap(),
            1 => {
                std::fs::rename(&path, &aside).unwrap();
                std::fs::rename(&second, &path).unwrap();
                std::fs::rename(&aside, &second).unwrap();
            }
            2..=5 => write(at / 512 * 512, &[0; 512]),
            _ => write(at, &[whole[at as usize] ^ bit]),
        }
        let mut found = Vec::new();
        let outcome = recover(folder.path(), &ID, |lsn, body| {
            // whatever is given is what was written
            let (group, second) = ((lsn.0 - 1) / 2, (lsn.0 - 1) % 2 == 1);
            assert_eq!(body, vec![group as u8; if second { 5 } else { 300 }], "{what}");
            found.push(lsn.0);
            Ok(())
        });
        let means_nothing = match kind {
            0 => at >= group_at(GROUPS - 1) + WRITTEN,
            1..=5 => false,
            _ => at % 512 >= if at < 512 { HEADER } else { WRITTEN },
        };
        match outcome {
            _ if means_nothing => assert_eq!(found, all, "{what}"),
            Ok(recovered) => {
                // the second segment is whole, and may be read
                let first = found.iter().filter(|lsn| **lsn <= GROUPS * 2).count();
                let rest = &all[(GROUPS * 2) as usize..];
                let (begins, ends) = (found.starts_with(&all[..first]), &found[first..]);
                assert!(begins && (ends.is_empty() || ends == rest), "{what}: {found:?}");
                let damage = recovered.damage.unwrap_or_else(|| panic!("{what} is not seen: {found:?}"));
                assert!(damage.file == path || damage.file == second, "{what}: {damage:?}");
                if kind > 1 && at >= 512 {
                    assert_eq!((damage.offset, first as u64), (group_at(group), group * 2), "{what}");
                }
            }
            Err(error) => panic!("{what}: {error}"),
        }
        match kind {
            0 => write(0, &whole),
            1 => {
                std::fs::rename(&path, &aside).unwrap();
                std::fs::rename(&second, &path).unwrap();
                std::fs::rename(&aside, &second).unwrap();
            }
            2..=5 => {
                let from = at as usize / 512 * 512;
                write(from as u64, &whole[from..(from + 512).min(used)]);
            }
            _ => write(at, &whole[at as usize..=at as usize]),
        }
    }
    assert_eq!(lsns(folder.path()).0, all, "every damage was undone");
}
