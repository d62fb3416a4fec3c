use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use datafusion::arrow::array::{
    BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::Int32Type;

use super::*;

/// Counts the bytes that each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to be; it hands everything to the system's")]
// SAFETY: every call goes to the system's allocator unchanged
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| held.set(held.get() + layout.size() as isize));
        // SAFETY: as the caller promised
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: as the caller promised
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

/// A batch with columns of every kind, some of them slices of much larger ones.
fn batch(seed: &mut u64) -> RecordBatch {
    let rows = 200 + random(seed, 3_000) as usize;
    let text = |seed: &mut u64| "x".repeat(random(seed, 60) as usize);
    let texts: Vec<Option<String>> = (0..rows).map(|n| (n % 7 != 0).then(|| text(seed))).collect();
    let wide: Int64Array = (0..rows as i64 * 20).collect();
    let values: StringArray = (0..20).map(|_| Some(text(seed))).collect();
    let keys: datafusion::arrow::array::Int32Array = (0..rows).map(|_| Some(random(seed, 20) as i32)).collect();
    let lengths: Vec<usize> = (0..rows).map(|_| random(seed, 4) as usize).collect();
    let items: Float64Array = (0..lengths.iter().sum::<usize>()).map(|n| Some(n as f64)).collect();
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let list = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(items), None);
    let inner: ArrayRef = Arc::new((0..rows).map(|n| Some(n % 3 == 0)).collect::<BooleanArray>());
    let nested = StructArray::from(vec![(Arc::new(Field::new("b", DataType::Boolean, true)), inner)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(texts.iter().collect::<StringArray>()),
        Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>()),
        Arc::new(wide.slice(rows * 3, rows)),
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values))),
        Arc::new(list),
        Arc::new(nested),
    ];
    let named = columns.into_iter().enumerate().map(|(n, c)| (format!("column_{n}"), c));
    RecordBatch::try_from_iter(named).unwrap()
}

#[test]
fn c1_bytes_are_counted_not_estimated() {
    let mut seed = 0x1234_5678_9abc_def1;
    for round in 0..60 {
        let batches: Vec<RecordBatch> = {
            let first = batch(&mut seed);
            let half = first.num_rows() / 2;
            if round % 3 == 0 { vec![first.slice(half / 2, half)] } else { vec![first.clone(), first.slice(0, half)] }
        };
        // what is made once for good is not the entry's
        drop(Answer::new(&batches[0].schema(), &batches).unwrap());
        let before = held();
        let answer = Answer::new(&batches[0].schema(), &batches).unwrap();
        let taken = (held() - before) as f64;
        let off = (answer.bytes() as f64 - taken).abs() / taken;
        assert!(off <= 0.05, "round {round}: {} bytes reported, {taken} taken", answer.bytes());
        assert_eq!(answer.rows, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    }
}

fn identity(n: u64) -> Identity {
    let key = |kind: u8| {
        let mut key = [kind; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        key
    };
    Identity { statement: key(1), tables: Vec::new(), whole: [0; 32], answer: key(2) }
}

fn answer(rows: i64) -> Answer {
    let column: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
    Answer::new(&batch.schema(), &[batch]).unwrap()
}

fn keep(cache: &Arc<Cache>, n: u64, rows: i64) -> bool {
    match cache.turn(&identity(n)) {
        Turn::Compute(flight) => {
            cache.keep(flight, answer(rows));
            matches!(cache.turn(&identity(n)), Turn::Found(_))
        }
        Turn::Found(_) => true,
        Turn::Wait(_) => panic!("nobody computes it"),
    }
}

#[test]
fn c2_ten_thousand_answers_never_pass_the_bound() {
    const MAX: usize = 1 << 20;
    let cache = Arc::new(Cache::new(MAX, MAX / 8));
    let mut seed = 77;
    for n in 0..10_000 {
        let rows = random(&mut seed, 30_000) as i64;
        // asked twice, so that it may push others out
        keep(&cache, n, rows);
        keep(&cache, n, rows);
        let stats = cache.stats();
        assert!(stats.bytes <= MAX, "{} bytes after {n}", stats.bytes);
    }
    let stats = cache.stats();
    assert!(stats.evictions > 1_000 && stats.turned_away > 1_000 && stats.entries > 5, "{stats:?}");
    assert_eq!(cache.clear(), stats.entries);
    assert_eq!((cache.stats().bytes, cache.stats().entries), (0, 0));
}

#[test]
fn c3_answers_asked_once_do_not_push_out_the_dashboards() {
    let cache = Arc::new(Cache::new(200_000, 100_000));
    for n in 0..4 {
        assert!(keep(&cache, n, 5_000), "there is room for {n}");
    }
    // a scan over many statements, each asked once
    for n in 100..200 {
        assert!(!keep(&cache, n, 5_000), "{n} pushed another out");
    }
    assert!((0..4).all(|n| matches!(cache.turn(&identity(n)), Turn::Found(_))));
    // what is asked again comes in
    assert!(keep(&cache, 100, 5_000));
}

#[test]
fn c4_one_computes_and_the_others_wait() {
    let cache = Arc::new(Cache::new(1 << 20, 1 << 20));
    let Turn::Compute(flight) = cache.turn(&identity(1)) else { panic!("the first computes") };
    let Turn::Wait(mut waiter) = cache.turn(&identity(1)) else { panic!("the second waits") };
    assert!(matches!(cache.turn(&identity(2)), Turn::Compute(_)), "others compute");
    cache.keep(flight, answer(10));
    assert!(*waiter.borrow_and_update());
    assert!(matches!(cache.turn(&identity(1)), Turn::Found(_)));
    // one that fails leaves nobody waiting
    let Turn::Compute(flight) = cache.turn(&identity(3)) else { panic!("the first computes") };
    let Turn::Wait(waiter) = cache.turn(&identity(3)) else { panic!("the second waits") };
    drop(flight);
    assert!(waiter.has_changed().is_err(), "the waiter is told");
    assert!(matches!(cache.turn(&identity(3)), Turn::Compute(_)));
    // one that is held up lets the others go on, and does not take away who came after it
    let Turn::Compute(mut slow) = cache.turn(&identity(4)) else { panic!("the first computes") };
    let Turn::Wait(waiter) = cache.turn(&identity(4)) else { panic!("the second waits") };
    slow.release();
    assert!(waiter.has_changed().is_err(), "the waiter is told");
    let Turn::Compute(next) = cache.turn(&identity(4)) else { panic!("the second computes") };
    cache.keep(slow, answer(10));
    assert!(matches!(cache.turn(&identity(4)), Turn::Found(_)), "what the slow one brings is kept");
    cache.keep(next, answer(10));
    assert!(cache.inner.lock().flights.is_empty());
}

#[test]
fn a_cache_of_no_size_is_off() {
    assert!(!Cache::new(0, 1 << 20).is_on());
}
