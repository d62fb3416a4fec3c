//! Checksums of the blocks of a data file: whoever reads a part of it can tell whether it is what was written.

use std::ops::Range;
use std::sync::Arc;

/// Bytes of a block; the last of a file may be shorter.
const BLOCK_BYTES: usize = 64 << 10;

/// The crc32c of each block of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks(Arc<[u32]>);

impl Blocks {
    /// As the catalog keeps them: four bytes each, little endian. None when it is not what a file of so many bytes has.
    pub(crate) fn from_bytes(bytes: &[u8], file_bytes: u64) -> Option<Self> {
        let is_whole = bytes.len() as u64 == file_bytes.div_ceil(BLOCK_BYTES as u64) * 4;
        is_whole.then(|| Self(bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|crc| crc.to_le_bytes()).collect()
    }

    /// The whole blocks around a range of a file of so many bytes.
    pub fn around(range: &Range<u64>, file_bytes: u64) -> Range<u64> {
        let block = BLOCK_BYTES as u64;
        range.start / block * block..range.end.next_multiple_of(block).min(file_bytes)
    }

    /// Whether `bytes` are what was written from `start` on, which begins a block; their end ends one.
    pub fn hold(&self, start: u64, bytes: &[u8]) -> bool {
        let first = (start / BLOCK_BYTES as u64) as usize;
        let mut blocks = bytes.chunks(BLOCK_BYTES).enumerate();
        blocks.all(|(i, block)| self.0.get(first + i) == Some(&crc32c::crc32c(block)))
    }
}

/// What a file's bytes come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub bytes: u64,
    pub crc32c: u32,
    pub blocks: Blocks,
}

/// Sums up the bytes of a file as they pass.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    blocks: Vec<u32>,
    /// Of the block that is not full yet.
    crc: u32,
    filled: usize,
    whole: u32,
    bytes: u64,
}

impl Summing {
    pub fn add(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.filled += part.len();
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        self.whole = crc32c::crc32c_combine(self.whole, self.crc, self.filled);
        self.blocks.push(self.crc);
        (self.crc, self.filled) = (0, 0);
    }

    pub fn finish(mut self) -> Sums {
        if self.filled > 0 {
            self.end_block();
        }
        Sums { bytes: self.bytes, crc32c: self.whole, blocks: Blocks(self.blocks.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_of_every_block_is_seen() {
        for length in [0usize, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let mut summing = Summing::default();
            bytes.chunks(10_007).for_each(|part| summing.add(part));
            let sums = summing.finish();
            assert_eq!((sums.bytes, sums.crc32c), (length as u64, crc32c::crc32c(&bytes)));
            let kept = Blocks::from_bytes(&sums.blocks.to_bytes(), length as u64).unwrap();
            assert_eq!(kept, sums.blocks);
            assert!(Blocks::from_bytes(&sums.blocks.to_bytes(), length as u64 + BLOCK_BYTES as u64).is_none());
            for at in (0..length).step_by(4_999) {
                let part = Blocks::around(&(at as u64..at as u64 + 1), length as u64);
                let mut read = bytes[part.start as usize..part.end as usize].to_vec();
                assert!(kept.hold(part.start, &read));
                read[at - part.start as usize] ^= 1 << (at % 8);
                assert!(!kept.hold(part.start, &read), "{at} of {length}");
            }
        }
    }
}
