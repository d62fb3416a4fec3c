use ahash::RandomState;
use arrow::array::StringArray;
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashTable;

/// A growing set of distinct strings, each with a number in order of arrival.
///
/// Every string column is made of such numbers from the decoder to the Parquet writer; a string is
/// hashed once per request and once per table, never per row after that.
#[derive(Debug, Default)]
pub struct Interner {
    hasher: RandomState,
    table: HashTable<u32>,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Interner {
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of distinct strings.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Heap bytes held, close enough for accounting.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.offsets.capacity() * 4 + self.table.capacity() * 5
    }

    /// The number of `text`, which is added if it is new.
    #[inline]
    pub fn intern(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (offsets, bytes) = (&self.offsets, &self.bytes);
        if let Some(&found) = self.table.find(hash, |&i| slice(offsets, bytes, i) == text.as_bytes()) {
            return found;
        }
        let number = self.offsets.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(self.bytes.len() as i32);
        let (offsets, bytes, hasher) = (&self.offsets, &self.bytes, &self.hasher);
        self.table.insert_unique(hash, number, |&i| hasher.hash_one(as_str(slice(offsets, bytes, i))));
        number
    }

    /// The string with this number.
    pub fn value(&self, number: u32) -> &str {
        as_str(slice(&self.offsets, &self.bytes, number))
    }

    /// Bytes of all strings together; must stay below 2 GiB.
    pub fn value_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All strings in order of their numbers.
    pub fn values(&self) -> StringArray {
        let mut offsets = Vec::with_capacity(self.offsets.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.offsets);
        StringArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_slice_ref(&self.bytes), None)
    }
}

#[inline]
fn slice<'a>(ends: &[i32], bytes: &'a [u8], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] as usize };
    &bytes[start..ends[number] as usize]
}

#[inline]
fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only whole strings are appended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_keeps_the_number_of_its_first_arrival() {
        let mut interner = Interner::new();
        let numbers: Vec<u32> = (0..10_000).map(|i| interner.intern(&format!("v{}", i % 777))).collect();
        assert_eq!(interner.len(), 777);
        assert!(numbers.iter().enumerate().all(|(i, n)| *n as usize == i % 777));
        assert_eq!(interner.intern(""), 777);
        assert_eq!(interner.values().value(777), "");
        assert_eq!(interner.value(5), "v5");
    }
}
