//! Texts as numbers, dates, times and intervals: what DuckDB takes them for.

use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::meaning::instant_of;
use super::time::{DAY, SECOND, naive, timestamp};

/// Digits of a decimal, and what an exponent may move its point.
const DIGITS: usize = 38;

pub fn all() -> Vec<ScalarUDF> {
    let both = KINDS.iter().flat_map(|kind| [false, true].map(|is_tried| Read::new(*kind, is_tried)));
    both.map(super::udf).collect()
}

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A whole number of up to 38 digits; what lies between two is rounded, half away from zero.
    Integer,
    /// The same of what may have no sign.
    Natural,
    /// The digits of a decimal, as a text that the engine reads.
    Decimal,
    Date,
    Time,
    /// A clock on the wall.
    Naive,
    Instant,
    Interval,
}

const KINDS: [Kind; 8] =
    [Kind::Integer, Kind::Natural, Kind::Decimal, Kind::Date, Kind::Time, Kind::Naive, Kind::Instant, Kind::Interval];

impl Kind {
    /// Of a cast to a type; none where the engine means what DuckDB does.
    pub fn of(to: &DataType) -> Option<Self> {
        Some(match to {
            ty if ty.is_signed_integer() => Kind::Integer,
            ty if ty.is_unsigned_integer() => Kind::Natural,
            DataType::Decimal128(..) | DataType::Decimal256(..) => Kind::Decimal,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(_, None) => Kind::Naive,
            DataType::Timestamp(_, Some(_)) => Kind::Instant,
            DataType::Interval(_) => Kind::Interval,
            _ => return None,
        })
    }

    fn ty(self) -> DataType {
        match self {
            Kind::Integer | Kind::Natural => DataType::Decimal128(DIGITS as u8, 0),
            Kind::Decimal => DataType::Utf8,
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time64(TimeUnit::Microsecond),
            Kind::Naive => naive(),
            Kind::Instant => timestamp(),
            Kind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// Its name and an example, for who is refused.
    fn example(self) -> (&'static str, &'static str) {
        match self {
            Kind::Integer => ("whole number", "-42"),
            Kind::Natural => ("whole number without a sign", "42"),
            Kind::Decimal => ("decimal", "42.5"),
            Kind::Date => ("date", "2026-01-31"),
            Kind::Time => ("time of day", "10:11:12.5"),
            Kind::Naive | Kind::Instant => ("timestamp", "2026-01-31 10:11:12.5"),
            Kind::Interval => ("interval", "1 day 2 hours"),
        }
    }
}

/// Reads texts; what is none of the kind is refused, or NULL where it is tried.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Read {
    kind: Kind,
    is_tried: bool,
    signature: Signature,
}

impl Read {
    pub fn new(kind: Kind, is_tried: bool) -> Self {
        Self { kind, is_tried, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn read<T: ArrowPrimitiveType>(
        &self,
        texts: &ArrayRef,
        one: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>> {
        texts.as_string_view().iter().map(|text| self.judge(text, &one)).collect()
    }

    fn judge<V>(&self, text: Option<&str>, one: impl Fn(&str) -> Option<V>) -> Result<Option<V>> {
        let Some(text) = text else { return Ok(None) };
        match one(text) {
            None if !self.is_tried => {
                let (what, like) = self.kind.example();
                exec_err!("{text:?} is no {what}; write it like '{like}'")
            }
            value => Ok(value),
        }
    }
}

impl ScalarUDFImpl for Read {
    fn name(&self) -> &str {
        match (self.kind, self.is_tried) {
            (Kind::Integer, false) => "tw_read_integer",
            (Kind::Integer, true) => "tw_try_integer",
            (Kind::Natural, false) => "tw_read_natural",
            (Kind::Natural, true) => "tw_try_natural",
            (Kind::Decimal, false) => "tw_read_decimal",
            (Kind::Decimal, true) => "tw_try_decimal",
            (Kind::Date, false) => "tw_read_date",
            (Kind::Date, true) => "tw_try_date",
            (Kind::Time, false) => "tw_read_time",
            (Kind::Time, true) => "tw_try_time",
            (Kind::Naive, false) => "tw_read_naive",
            (Kind::Naive, true) => "tw_try_naive",
            (Kind::Instant, false) => "tw_read_instant",
            (Kind::Instant, true) => "tw_try_instant",
            (Kind::Interval, false) => "tw_read_interval",
            (Kind::Interval, true) => "tw_try_interval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.ty())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8View)?;
        let array: ArrayRef = match self.kind {
            Kind::Integer | Kind::Natural => {
                let read = if self.kind == Kind::Integer { integer } else { natural };
                let values = self.read::<Decimal128Type>(&texts, read)?;
                Arc::new(values.with_precision_and_scale(DIGITS as u8, 0)?)
            }
            Kind::Decimal => {
                let plain = texts.as_string_view().iter().map(|text| self.judge(text, decimal));
                Arc::new(plain.collect::<Result<StringArray>>()?)
            }
            Kind::Date => Arc::new(self.read::<Date32Type>(&texts, date)?),
            Kind::Time => Arc::new(self.read::<Time64MicrosecondType>(&texts, time)?),
            Kind::Naive => Arc::new(self.read::<TimestampMicrosecondType>(&texts, wall)?),
            Kind::Instant => {
                let values = self.read::<TimestampMicrosecondType>(&texts, instant)?;
                Arc::new(values.with_data_type(timestamp()))
            }
            Kind::Interval => Arc::new(self.read::<IntervalMonthDayNanoType>(&texts, interval)?),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// The bytes of a text from a place on.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The next bytes of a kind, at most so many.
    fn take(&mut self, most: usize, is: impl Fn(&u8) -> bool) -> &'a [u8] {
        let (head, tail) = self.0.split_at(self.0.iter().take(most).take_while(|b| is(b)).count());
        self.0 = tail;
        head
    }

    fn next_is(&self, is: impl Fn(u8) -> bool) -> bool {
        self.0.first().is_some_and(|b| is(*b))
    }

    fn skip(&mut self, is: impl Fn(u8) -> bool) -> bool {
        let does = self.next_is(is);
        self.0 = &self.0[usize::from(does)..];
        does
    }

    fn skip_spaces(&mut self) {
        self.take(usize::MAX, u8::is_ascii_whitespace);
    }

    /// A number of at most so many digits; none without a digit or with one more.
    fn number(&mut self, most: usize) -> Option<i64> {
        let digits = self.take(usize::MAX, u8::is_ascii_digit);
        if digits.len() > most { None } else { value_of(digits) }
    }

    /// One digit or two; what follows is not looked at.
    fn two(&mut self) -> Option<i64> {
        value_of(self.take(2, u8::is_ascii_digit))
    }

    fn word(&mut self) -> String {
        String::from_utf8_lossy(self.take(usize::MAX, u8::is_ascii_alphabetic)).to_ascii_lowercase()
    }

    /// Millionths behind a point; further digits have no place.
    fn millionths(&mut self) -> i64 {
        let digits = self.take(usize::MAX, u8::is_ascii_digit);
        (0..6).fold(0, |us, i| us * 10 + digits.get(i).map_or(0, |b| i64::from(b - b'0')))
    }
}

/// Of at most eighteen digits; none without one.
fn value_of(digits: &[u8]) -> Option<i64> {
    (!digits.is_empty()).then(|| digits.iter().fold(0, |value, b| value * 10 + i64::from(b - b'0')))
}

/// The sign and the digits before and behind the point; an exponent has moved it.
fn digits(text: &str) -> Option<(bool, String, String)> {
    let text = text.trim();
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let plain = |digits: &str| {
        let is_sound = digits
            .split('_')
            .all(|d| d.bytes().all(|b| b.is_ascii_digit()) && (!d.is_empty() || !digits.contains('_')));
        is_sound.then(|| digits.replace('_', ""))
    };
    let (mut whole, mut part) = (plain(whole)?, plain(part)?);
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    // far beyond every type, or nothing at all
    let moved = exponent.clamp(-(2 * DIGITS as i32), 2 * DIGITS as i32);
    for _ in 0..moved.unsigned_abs() {
        let (from, to) = if moved > 0 { (&mut part, &mut whole) } else { (&mut whole, &mut part) };
        if moved > 0 {
            to.push(if from.is_empty() { '0' } else { from.remove(0) });
        } else {
            to.insert(0, from.pop().unwrap_or('0'));
        }
    }
    Some((is_negative, whole, part))
}

fn integer(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(value.into());
    }
    let trimmed = text.trim();
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = trimmed.strip_prefix(prefix) {
            let is_sound = digits.bytes().all(|b| char::from(b).is_digit(radix));
            return is_sound.then(|| i128::from_str_radix(digits, radix).ok()).flatten();
        }
    }
    let (is_negative, whole, part) = digits(text)?;
    let whole = whole.trim_start_matches('0');
    if whole.len() > DIGITS {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let size = whole + i128::from(part.as_bytes().first().is_some_and(|b| *b >= b'5'));
    Some(if is_negative { -size } else { size })
}

fn natural(text: &str) -> Option<i128> {
    let value = integer(text)?;
    // less than nothing, though it would be rounded to nothing
    let is_less = text.trim_start().starts_with('-') && text.bytes().any(|b| matches!(b, b'1'..=b'9'));
    (!is_less).then_some(value)
}

fn decimal(text: &str) -> Option<String> {
    let (is_negative, whole, part) = digits(text)?;
    Some(format!("{}{}.{part}", if is_negative { "-" } else { "" }, if whole.is_empty() { "0" } else { &whole }))
}

/// The days of the date that a text begins with.
fn date_at(rest: &mut Rest) -> Option<i64> {
    rest.skip_spaces();
    let is_before = rest.skip(|b| b == b'-');
    if rest.0.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"epoch")) && !is_before {
        rest.0 = &rest.0[5..];
        return Some(0);
    }
    let year = rest.number(9)?;
    let separator = *rest.0.first().filter(|b| matches!(b, b'-' | b'/' | b' ' | b'\\'))?;
    rest.0 = &rest.0[1..];
    let month = rest.two()?;
    if !rest.skip(|b| b == separator) {
        return None;
    }
    let day = rest.two()?;
    let year = if is_before { -year } else { year };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month as u32, day as u32)?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

fn date(text: &str) -> Option<i32> {
    let mut rest = Rest(text.as_bytes());
    let days = date_at(&mut rest)?;
    // whatever follows, but no digit that would belong to the day
    (!rest.next_is(|b| b.is_ascii_digit())).then(|| i32::try_from(days).ok()).flatten()
}

/// The microseconds of a time of day that a text begins with.
fn time_at(rest: &mut Rest) -> Option<i64> {
    rest.skip_spaces();
    let hours = rest.two()?;
    time_of(hours, rest).filter(|us| *us <= DAY)
}

/// The microseconds of so many hours and of the minutes and seconds that follow, behind a colon.
fn time_of(hours: i64, rest: &mut Rest) -> Option<i64> {
    if !rest.skip(|b| b == b':') {
        return None;
    }
    let minute = rest.two()?;
    let (mut second, mut us) = (0, 0);
    if rest.skip(|b| b == b':') {
        second = rest.two()?;
        if rest.skip(|b| b == b'.') {
            us = rest.millionths();
        }
    }
    let whole = hours.checked_mul(3_600)?.checked_add(minute * 60 + second)?.checked_mul(SECOND)?;
    if minute < 60 && second < 60 { whole.checked_add(us) } else { None }
}

fn time(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let us = match time_at(&mut rest) {
        Some(us) => us,
        None => return wall(text).map(|us| us.rem_euclid(DAY)),
    };
    rest.skip_spaces();
    // the engine's day ends before its last moment
    (rest.0.is_empty() && us < DAY).then_some(us)
}

/// Where a clock hangs.
enum Place {
    Nowhere,
    /// So many microseconds east of Greenwich.
    East(i64),
    Zone(Tz),
}

/// The clock on the wall and where it hangs.
fn clock(text: &str) -> Option<(i64, Place)> {
    let mut rest = Rest(text.as_bytes());
    let days_us = date_at(&mut rest)?.checked_mul(DAY)?;
    if rest.0.is_empty() {
        return Some((days_us, Place::Nowhere));
    }
    if !rest.skip(|b| b == b' ' || b == b'T') {
        return None;
    }
    if rest.0.iter().all(u8::is_ascii_whitespace) {
        return Some((days_us, Place::Nowhere));
    }
    let us = days_us.checked_add(time_at(&mut rest)?)?;
    if rest.skip(|b| b == b'Z') {
        rest.skip_spaces();
        return rest.0.is_empty().then_some((us, Place::East(0)));
    }
    if rest.next_is(|b| b == b'+' || b == b'-') {
        let sign = if rest.skip(|b| b == b'-') { -1 } else { 1 };
        rest.skip(|b| b == b'+');
        let hours = rest.two()?;
        rest.skip(|b| b == b':');
        let minutes = if rest.next_is(|b| b.is_ascii_digit()) { rest.two()? } else { 0 };
        rest.skip_spaces();
        let east = sign * (hours * 60 + minutes) * 60 * SECOND;
        return (rest.0.is_empty() && minutes < 60).then_some((us, Place::East(east)));
    }
    rest.skip_spaces();
    if rest.0.is_empty() {
        return Some((us, Place::Nowhere));
    }
    let zone = std::str::from_utf8(rest.0).ok()?.trim_end();
    Some((us, Place::Zone(zone.parse().ok()?)))
}

fn wall(text: &str) -> Option<i64> {
    match clock(text)? {
        (_, Place::Zone(zone)) if zone != Tz::UTC => None,
        (us, _) => Some(us),
    }
}

fn instant(text: &str) -> Option<i64> {
    match clock(text)? {
        (us, Place::Nowhere) => Some(us),
        (us, Place::East(east)) => us.checked_sub(east),
        (us, Place::Zone(zone)) => instant_of(us, zone),
    }
}

/// Months, days or microseconds that a unit has.
enum Unit {
    Months(i64),
    Days(i64),
    Us(i64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "millennium" | "millennia" | "millenium" | "mil" | "mils" => Unit::Months(12_000),
        "century" | "centuries" | "c" | "cent" => Unit::Months(1_200),
        "decade" | "decades" | "dec" | "decs" => Unit::Months(120),
        "year" | "years" | "y" | "yr" | "yrs" => Unit::Months(12),
        "quarter" | "quarters" => Unit::Months(3),
        "month" | "months" | "mon" | "mons" => Unit::Months(1),
        "week" | "weeks" | "w" => Unit::Days(7),
        "day" | "days" | "d" => Unit::Days(1),
        "hour" | "hours" | "h" | "hr" | "hrs" => Unit::Us(3_600 * SECOND),
        "minute" | "minutes" | "m" | "min" | "mins" => Unit::Us(60 * SECOND),
        "second" | "seconds" | "s" | "sec" | "secs" | "" => Unit::Us(SECOND),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" => Unit::Us(1_000),
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" | "usecond" | "useconds" => Unit::Us(1),
        _ => return None,
    })
}

/// An interval; a number without a unit is in seconds.
pub fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    let mut rest = Rest(text.as_bytes());
    let (mut months, mut days, mut us, mut has_any) = (0i64, 0i64, 0i64, false);
    rest.skip_spaces();
    rest.skip(|b| b == b'@');
    loop {
        rest.skip_spaces();
        if rest.0.is_empty() {
            break;
        }
        if has_any && rest.0.eq_ignore_ascii_case(b"ago") {
            (months, days, us) = (months.checked_neg()?, days.checked_neg()?, us.checked_neg()?);
            break;
        }
        let sign: i64 = if rest.skip(|b| b == b'-') { -1 } else { 1 };
        let number = rest.number(18)?;
        if rest.next_is(|b| b == b':') {
            us = us.checked_add(sign.checked_mul(time_of(number, &mut rest)?)?)?;
            has_any = true;
            continue;
        }
        let millionths = if rest.skip(|b| b == b'.') { rest.millionths() } else { 0 };
        rest.skip_spaces();
        let name = rest.word();
        if name.is_empty() && has_any {
            return None;
        }
        let whole = sign.checked_mul(number)?;
        let part = sign * millionths;
        let add = |to: &mut i64, value: Option<i64>| {
            *to = to.checked_add(value?)?;
            Some(())
        };
        match unit(&name)? {
            Unit::Months(size) => {
                add(&mut months, whole.checked_mul(size)?.checked_add(part * size / SECOND))?;
                let days_part = part * size % SECOND * 30;
                add(&mut days, Some(days_part / SECOND))?;
                add(&mut us, Some(days_part % SECOND * (DAY / SECOND)))?;
            }
            Unit::Days(size) => {
                add(&mut days, whole.checked_mul(size)?.checked_add(part * size / SECOND))?;
                add(&mut us, Some(part * size % SECOND * (DAY / SECOND)))?;
            }
            Unit::Us(size) => {
                add(&mut us, whole.checked_mul(size)?.checked_add(part * size / SECOND))?;
            }
        }
        has_any = true;
    }
    let (months, days) = (i32::try_from(months).ok()?, i32::try_from(days).ok()?);
    has_any.then(|| Some(IntervalMonthDayNano::new(months, days, us.checked_mul(1_000)?))).flatten()
}

/// An interval the other way; none where it has no place.
pub fn negated(span: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (months, days) = (span.months.checked_neg()?, span.days.checked_neg()?);
    Some(IntervalMonthDayNano::new(months, days, span.nanoseconds.checked_neg()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_breaks_a_reader(text in "[-+.:eE_ 0-9a-z/TZ]{0,40}|\\PC{0,20}") {
            let _ = (integer(&text), natural(&text), decimal(&text), date(&text), time(&text));
            let _ = (wall(&text), instant(&text), interval(&text).and_then(negated));
        }

        #[test]
        fn whole_numbers_are_read_as_they_are(value in any::<i64>(), places in 0..6u32) {
            prop_assert_eq!(integer(&value.to_string()), Some(value.into()));
            let moved = format!("{value}{}e-{places}", "0".repeat(places as usize));
            prop_assert_eq!(integer(&moved), Some(value.into()));
        }
    }
}
