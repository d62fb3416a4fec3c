use super::{LogId, Position};

/// Groups and headers begin at multiples of this.
pub const ALIGN: u64 = 512;
pub const GROUP_HEADER_BYTES: usize = 44;
const SEGMENT_MAGIC: &[u8; 8] = b"TWLOG001";
/// What the magic of every version begins with.
const SEGMENT_FAMILY: &[u8; 5] = b"TWLOG";
const GROUP_MAGIC: &[u8; 4] = b"TWGR";

pub fn align(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGN)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log_id: LogId,
    pub sequence: u64,
    /// The segment before and where its groups validly end; zeros for the first.
    pub predecessor: Position,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; ALIGN as usize] {
        let mut out = [0; ALIGN as usize];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..24].copy_from_slice(&self.log_id);
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&self.predecessor.segment.to_le_bytes());
        out[40..48].copy_from_slice(&self.predecessor.offset.to_le_bytes());
        let crc = crc32c::crc32c(&out[..48]);
        out[48..52].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The version of an intact header that is not of this one.
    pub fn other_version(bytes: &[u8]) -> Option<String> {
        let bytes = bytes.get(..52)?;
        let intact = crc32c::crc32c(&bytes[..48]) == u32_at(bytes, 48);
        (intact && bytes.starts_with(SEGMENT_FAMILY) && &bytes[..8] != SEGMENT_MAGIC)
            .then(|| String::from_utf8_lossy(&bytes[SEGMENT_FAMILY.len()..8]).into_owned())
    }

    /// The header, if its checksum holds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..52)?;
        if &bytes[..8] != SEGMENT_MAGIC || crc32c::crc32c(&bytes[..48]) != u32_at(bytes, 48) {
            return None;
        }
        Some(Self {
            log_id: bytes[8..24].try_into().expect("16 bytes"),
            sequence: u64_at(bytes, 24),
            predecessor: Position { segment: u64_at(bytes, 32), offset: u64_at(bytes, 40) },
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    pub body_crc: u32,
    pub body_bytes: u32,
    pub records: u32,
    /// The end of what was known durable when this group was written.
    pub durable: Position,
    pub first_lsn: u64,
}

impl GroupHeader {
    /// Writes the header into the first [`GROUP_HEADER_BYTES`] of `out`.
    pub fn encode(&self, log_id: &LogId, segment: u64, out: &mut [u8]) {
        out[..4].copy_from_slice(GROUP_MAGIC);
        out[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.records.to_le_bytes());
        out[20..28].copy_from_slice(&self.durable.segment.to_le_bytes());
        out[28..36].copy_from_slice(&self.durable.offset.to_le_bytes());
        out[36..44].copy_from_slice(&self.first_lsn.to_le_bytes());
        let crc = header_crc(log_id, segment, &out[8..44]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header, if its checksum holds for this log and segment. The body may still be torn.
    pub fn decode(bytes: &[u8], log_id: &LogId, segment: u64) -> Option<Self> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        if &bytes[..4] != GROUP_MAGIC || header_crc(log_id, segment, &bytes[8..44]) != u32_at(bytes, 4) {
            return None;
        }
        Some(Self {
            body_crc: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
            records: u32_at(bytes, 16),
            durable: Position { segment: u64_at(bytes, 20), offset: u64_at(bytes, 28) },
            first_lsn: u64_at(bytes, 36),
        })
    }

    /// Header and body, without padding.
    pub fn total_bytes(&self) -> u64 {
        GROUP_HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }
}

fn header_crc(log_id: &LogId, segment: u64, fields: &[u8]) -> u32 {
    let crc = crc32c::crc32c(log_id);
    let crc = crc32c::crc32c_append(crc, &segment.to_le_bytes());
    crc32c::crc32c_append(crc, fields)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
