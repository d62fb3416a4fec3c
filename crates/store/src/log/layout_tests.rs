#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]
//! Segments to the byte: where groups lie, what fills one, what is freed, what recovery says of them.

use std::fs::OpenOptions;

use model::Lsn;

use super::format::{GroupHeader, SegmentHeader};
use super::tests::{ID, SEGMENT, append, first_segment, group_at, lsns, open, written};
use super::*;

/// Of a group with one record: headers of group and record.
const AROUND: u64 = 44 + 12;

/// Appends a group with one record of so many bytes, and makes it durable.
fn add(log: &mut LogWriter, lsn: u64, bytes: u64) {
    log.append(&[(Lsn(lsn), &vec![lsn as u8; bytes as usize])]).unwrap();
    log.sync().unwrap();
}

fn segments(log: &LogWriter) -> Vec<(u64, u64, u64)> {
    log.segments().map(|s| (s.sequence, s.bytes, s.last_lsn)).collect()
}

/// Names in the folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

#[test]
fn bytes_lie_where_the_description_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    log.append(&[(Lsn(9), b"abc")]).unwrap();
    log.sync().unwrap();
    log.append(&[(Lsn(10), b"d"), (Lsn(11), b"")]).unwrap();
    let bytes = std::fs::read(first_segment(folder.path())).unwrap();
    assert_eq!(bytes.len() as u64, SEGMENT);
    let number = |at: usize, width: usize| {
        bytes[at..at + width].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    assert_eq!((&bytes[..8], &bytes[8..24]), (&b"TWLOG001"[..], &ID[..]));
    assert_eq!((number(24, 8), number(32, 8), number(40, 8)), (1, 0, 0), "sequence; nothing came before");
    assert_eq!(number(48, 4), u64::from(crc32c::crc32c(&bytes[..48])));
    let group = |at: usize| {
        let crc = crc32c::crc32c(&[&ID[..], &1u64.to_le_bytes(), &bytes[at + 8..at + 44]].concat());
        assert_eq!((&bytes[at..at + 4], number(at + 4, 4)), (&b"TWGR"[..], u64::from(crc)));
        let body = number(at + 12, 4) as usize;
        assert_eq!(number(at + 8, 4), u64::from(crc32c::crc32c(&bytes[at + 44..at + 44 + body])));
        // bytes and number of records, durable segment and end, first number
        (body, number(at + 16, 4), number(at + 20, 8), number(at + 28, 8), number(at + 36, 8))
    };
    assert_eq!(group(512), (15, 1, 1, 512, 9));
    assert_eq!((number(556, 8), number(564, 4), &bytes[568..571]), (9, 3, &b"abc"[..]));
    assert_eq!(group(1024), (25, 2, 1, 1024, 10));
    assert_eq!((number(1068, 8), number(1076, 4), bytes[1080]), (10, 1, b'd'));
    assert_eq!((number(1081, 8), number(1089, 4)), (11, 0));
    assert!(bytes[1093..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_header_is_its_own_or_none() {
    let header = SegmentHeader { log_id: ID, sequence: 3, predecessor: Position { segment: 2, offset: 4_096 } };
    let bytes = header.encode();
    assert_eq!(SegmentHeader::decode(&bytes), Some(header));
    assert_eq!(SegmentHeader::other_version(&bytes), None);
    assert_eq!((SegmentHeader::decode(&bytes[..51]), SegmentHeader::other_version(&bytes[..51])), (None, None));
    let group = GroupHeader {
        body_crc: 1,
        body_bytes: 600,
        records: 2,
        durable: Position { segment: 3, offset: 512 },
        first_lsn: 7,
    };
    let mut written = [0; 44];
    group.encode(&ID, 3, &mut written);
    assert_eq!(GroupHeader::decode(&written, &ID, 3), Some(group));
    assert_eq!(group.total_bytes(), 644);
    assert_eq!(GroupHeader::decode(&written, &ID, 4), None, "of another segment");
    assert_eq!(GroupHeader::decode(&written, &[8; 16], 3), None, "of another log");
    for at in 0..52 {
        let mut flipped = bytes;
        flipped[at] ^= 4;
        assert_eq!(SegmentHeader::decode(&flipped), None, "byte {at}");
        assert_eq!(SegmentHeader::other_version(&flipped), None, "byte {at}: damage is no version");
        if at < 44 {
            let mut flipped = written;
            flipped[at] ^= 4;
            assert_eq!(GroupHeader::decode(&flipped, &ID, 3), None, "byte {at}");
        }
    }
    let sealed = |magic: &[u8; 8]| {
        let mut other = bytes;
        other[..8].copy_from_slice(magic);
        let crc = crc32c::crc32c(&other[..48]);
        other[48..52].copy_from_slice(&crc.to_le_bytes());
        other
    };
    assert_eq!(SegmentHeader::other_version(&sealed(b"TWLOG002")).as_deref(), Some("002"));
    assert_eq!(SegmentHeader::other_version(&sealed(b"OTHER002")), None);
    assert_eq!(SegmentHeader::decode(&sealed(b"TWLOG002")), None);
}

#[test]
fn a_segment_is_filled_to_its_last_byte_and_freed_with_its_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    assert_eq!((segments(&log), log.bytes()), (vec![(1, SEGMENT, 0)], SEGMENT));
    add(&mut log, 1, SEGMENT - 512 - AROUND);
    assert_eq!(segments(&log), [(1, SEGMENT, 1)]);
    add(&mut log, 2, 10);
    // with its header it would be 512 bytes more than a segment has
    add(&mut log, 3, SEGMENT - AROUND);
    assert_eq!(segments(&log), [(1, SEGMENT, 1), (2, SEGMENT, 2), (3, SEGMENT + 512, 3)]);
    assert_eq!(std::fs::metadata(segment_path(folder.path(), 3)).unwrap().len(), SEGMENT + 512);
    assert_eq!(log.bytes(), 3 * SEGMENT + 512);
    assert_eq!(lsns(folder.path()).0, [1, 2, 3]);
    assert_eq!(log.free_below(Lsn(1)).unwrap(), 0, "its record is needed");
    assert_eq!(log.free_below(Lsn(2)).unwrap(), 1);
    assert_eq!(segments(&log), [(2, SEGMENT, 2), (3, SEGMENT + 512, 3)]);
    assert_eq!(log.free_below(Lsn(100)).unwrap(), 1, "the one that is written stays");
    assert_eq!(names(folder.path()), ["0000000000000003.seg", "spare.0", "spare.1"]);
    // a spare is taken before a new one is made, but for a group that needs more
    add(&mut log, 4, SEGMENT - AROUND);
    assert_eq!(names(folder.path()), ["0000000000000003.seg", "0000000000000004.seg", "spare.0", "spare.1"]);
    add(&mut log, 5, SEGMENT - 512 - AROUND);
    add(&mut log, 6, SEGMENT - 512 - AROUND);
    add(&mut log, 7, SEGMENT - 512 - AROUND);
    assert_eq!(segments(&log).iter().map(|s| s.0).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("spare")));
    assert_eq!(log.free_below(Lsn(7)).unwrap(), 4);
    assert_eq!(names(folder.path()), ["0000000000000007.seg", "spare.0", "spare.1"], "no more than two, none larger");
    assert_eq!(lsns(folder.path()).0, [7]);
    // what was cut short is no segment any more
    OpenOptions::new().write(true).open(folder.path().join("spare.0")).unwrap().set_len(SEGMENT / 2).unwrap();
    add(&mut log, 8, SEGMENT - 512 - AROUND);
    assert_eq!(names(folder.path()), ["0000000000000007.seg", "0000000000000008.seg", "spare.0"]);
    assert_eq!(std::fs::metadata(segment_path(folder.path(), 8)).unwrap().len(), SEGMENT);
}

#[test]
fn a_log_that_nobody_writes_is_freed_as_far_as_it_is_not_needed() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    (1..=4).for_each(|lsn| add(&mut log, lsn, SEGMENT - 512 - AROUND));
    drop(log);
    let mut segments = lsns(folder.path()).1.segments;
    let mut free = |needed, spare_bytes| {
        free_below(folder.path(), &mut segments, Lsn(needed), spare_bytes).unwrap();
        (segments.iter().map(|s| s.sequence).collect::<Vec<_>>(), names(folder.path()).len())
    };
    assert_eq!(free(1, Some(SEGMENT)), (vec![1, 2, 3, 4], 4));
    assert_eq!(free(2, None), (vec![2, 3, 4], 3));
    assert_eq!(free(3, Some(SEGMENT)), (vec![3, 4], 3));
    assert_eq!(free(5, Some(2 * SEGMENT)), (vec![], 1), "of another size");
    assert_eq!(names(folder.path()), ["spare.0"]);
}

#[test]
fn what_is_not_synced_is_known_and_a_mark_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    let end = || lsns(folder.path()).1.end;
    assert!(!log.is_dirty());
    log.mark().unwrap();
    assert_eq!(end(), Position { segment: 1, offset: 512 }, "nothing is there to be marked");
    append(&mut log, 0);
    assert!(log.is_dirty());
    log.sync().unwrap();
    assert!(!log.is_dirty());
    assert_eq!(end().offset, group_at(1));
    log.mark().unwrap();
    assert!(!log.is_dirty());
    log.mark().unwrap();
    assert_eq!(end().offset, group_at(2));
    append(&mut log, 1);
    log.sync().unwrap();
    log.mark().unwrap();
    assert_eq!(end().offset, group_at(4));
}

#[test]
fn recovery_tells_of_each_segment_and_of_the_bytes_that_are_torn() {
    let folder = written(3);
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 3);
    log.sync().unwrap();
    append(&mut log, 4);
    drop(log);
    let path = segment_path(folder.path(), 2);
    let said = lsns(folder.path()).1;
    let told: Vec<_> = said.segments.iter().map(|s| (s.sequence, s.bytes, s.last_lsn)).collect();
    assert_eq!(told, [(1, SEGMENT, 6), (2, SEGMENT, 10)]);
    assert_eq!((said.records, said.last_lsn), (10, 10));
    assert_eq!(said.end, Position { segment: 2, offset: group_at(2) });
    assert_eq!((said.torn, said.damage), (None, None));
    // the last group was never known to be durable
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[group_at(1) as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let said = lsns(folder.path()).1;
    let at = Position { segment: 2, offset: group_at(1) };
    assert_eq!((said.end, said.records, said.last_lsn), (at, 8, 8));
    assert_eq!(said.torn, Some(Torn { at, file: path.clone(), bytes: 44 + 2 * 12 + 300 + 5 }));
    // without its header nothing tells that it was one
    bytes[group_at(1) as usize] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let said = lsns(folder.path()).1;
    assert_eq!((said.end, said.torn, said.damage), (at, None, None));
    bytes[group_at(1) as usize] ^= 1;
    // its predecessor was
    bytes[group_at(0) as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let said = lsns(folder.path()).1;
    let damage = said.damage.unwrap();
    assert_eq!((&damage.file, damage.offset, said.torn), (&path, group_at(0), None));
    assert_eq!(
        damage.to_string(),
        format!("{} at offset 512: a group known to be durable does not match its checksum", path.display())
    );
}

#[test]
fn records_of_every_size_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).unwrap();
    // around and past what recovery reads at a time
    let sizes = [0, 1, 443, 444, 445, 100_000, 262_087, 262_088, 262_089, 300_000, 5, 600_000, 0, 262_144, 7];
    let body = |i: usize| (0..sizes[i]).map(|at: usize| (at * 31 + i) as u8).collect::<Vec<u8>>();
    (0..sizes.len()).for_each(|i| log.append(&[(Lsn(i as u64 + 1), &body(i))]).unwrap());
    log.sync().unwrap();
    let mut found = 0;
    let said = recover(folder.path(), &ID, |lsn, read| {
        assert_eq!((lsn.0 as usize, read.len()), (found + 1, sizes[found]));
        assert!(read == body(found), "record {lsn}");
        found += 1;
        Ok(())
    });
    assert_eq!((found, said.unwrap().damage), (sizes.len(), None));
}

#[test]
fn the_oldest_full_segment_is_read_by_itself() {
    let folder = written(2);
    for groups in [2..5, 5..6] {
        let mut log = open(folder.path()).unwrap();
        for group in groups {
            append(&mut log, group);
            log.sync().unwrap();
        }
    }
    let read = |after| {
        let mut found = Vec::new();
        let of = read_oldest(folder.path(), &ID, after, |lsn, _| {
            found.push(lsn.0);
            Ok(())
        });
        (of.unwrap(), found)
    };
    assert_eq!(read(None), (Some((1, Lsn(4))), vec![1, 2, 3, 4]));
    assert_eq!(read(Some(0)), (Some((1, Lsn(4))), vec![1, 2, 3, 4]));
    assert_eq!(read(Some(1)), (Some((2, Lsn(10))), (5..=10).collect()));
    assert_eq!(read(Some(2)), (None, vec![]), "the third is in use");
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[group_at(1) as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read(None), (None, vec![1, 2]), "it does not read to its end");
}

#[test]
fn a_repair_counts_what_it_cuts_and_removes_what_follows() {
    let folder = written(3);
    for group in 3..5 {
        let mut log = open(folder.path()).unwrap();
        append(&mut log, group);
        log.sync().unwrap();
    }
    let said = repair(folder.path(), &ID).unwrap();
    assert_eq!((said.damage, said.kept.len(), said.records_kept, said.last_lsn, said.bytes_cut), (None, 0, 10, 10, 0));
    let flip = |sequence: u64, at: u64| {
        let path = segment_path(folder.path(), sequence);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at as usize] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
    };
    flip(2, group_at(0) + 100);
    let said = repair(folder.path(), &ID).unwrap();
    let aside = folder.path().join("damaged-0000000000000002");
    let kept = [2, 3].map(|sequence| aside.join(format!("{sequence:016x}.seg")));
    assert_eq!((said.damage.unwrap().offset, said.kept), (512, kept.to_vec()));
    assert_eq!((said.records_kept, said.last_lsn, said.bytes_cut), (6, 6, 2 * SEGMENT - 512));
    assert_eq!(sequences(folder.path()).unwrap(), [1, 2, 4], "the fourth says where the second ends");
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 5);
    log.sync().unwrap();
    drop(log);
    assert_eq!(lsns(folder.path()).0, [1, 2, 3, 4, 5, 6, 11, 12]);
    // of a segment without a header nothing can be kept
    flip(1, 10);
    let said = repair(folder.path(), &ID).unwrap();
    assert_eq!((said.damage.unwrap().offset, said.kept.len(), said.records_kept, said.last_lsn), (0, 4, 0, 0));
    assert!(sequences(folder.path()).unwrap().is_empty());
    let mut log = open(folder.path()).unwrap();
    append(&mut log, 6);
    log.sync().unwrap();
    assert_eq!(lsns(folder.path()).0, [13, 14]);
}

#[test]
fn the_log_of_a_folder_is_named_by_its_first_whole_header() {
    let folder = written(1);
    assert_eq!(id_of(folder.path()).unwrap(), Some(ID));
    std::fs::write(segment_path(folder.path(), 0), b"").unwrap();
    assert_eq!(id_of(folder.path()).unwrap(), Some(ID));
    std::fs::write(folder.path().join("other.seg"), b"").unwrap();
    std::fs::write(folder.path().join("0000000000000007"), b"").unwrap();
    assert_eq!(sequences(folder.path()).unwrap(), [0, 1]);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(id_of(empty.path()).unwrap(), None);
}
