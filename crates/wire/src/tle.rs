//! Two-line element sets: the orbit of a satellite at an instant, as NORAD and CelesTrak publish it.
//!
//! Columns and checksum as CelesTrak documents them
//! (<https://celestrak.org/NORAD/documentation/tle-fmt.php>); an entry is two lines, or three with a name first.

use std::f64::consts::TAU;

use chrono::NaiveDate;
use model::time::Instant;
use model::{Batch, Role};

use crate::column::Value;
use crate::rows::{Cell, RowError, Rows};
use crate::{DecodeError, Fault, ItemError};

/// Gravitational parameter of the Earth, km³/s² (WGS 84).
const MU: f64 = 398_600.441_8;
/// Equatorial radius of the Earth, km (WGS 84).
const RADIUS_KM: f64 = 6_378.137;
const DAY_S: f64 = 86_400.0;
/// Bytes of a line without its checksum.
const CHECKED: usize = 68;

/// The good entries as rows of one table, and every bad one.
#[derive(Debug)]
pub struct Decoded {
    pub batches: Vec<Batch>,
    /// The first [`model::limits::REPORTED_LINES`] bad entries, by the line they begin with.
    pub errors: Vec<ItemError>,
    pub bad: usize,
    pub entries: usize,
    /// Satellites that the good entries are of.
    pub satellites: usize,
}

/// Decodes a body into rows of `table`.
///
/// # Errors
/// Only for bounds of the whole request; bad entries are listed in the result.
pub fn decode(body: &[u8], table: &str) -> Result<Decoded, DecodeError> {
    let mut rows = Rows::default();
    let mut out = Decoded { batches: Vec::new(), errors: Vec::new(), bad: 0, entries: 0, satellites: 0 };
    let mut seen = std::collections::HashSet::new();
    let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).zip(1u32..);
    let mut lines = lines.filter(|(line, _)| !line.is_empty()).peekable();
    let mut name: Option<&[u8]> = None;
    while let Some((line, number)) = lines.next() {
        if !line.starts_with(b"1 ") && !line.starts_with(b"2 ") {
            name = Some(line);
            continue;
        }
        out.entries += 1;
        let second = line.starts_with(b"1 ").then(|| lines.next_if(|(next, _)| next.starts_with(b"2 "))).flatten();
        let outcome = match second {
            None => Err(RowError::Row(Fault::Shape("a line 1 and a line 2 of 69 characters belong together".into()))),
            Some((second, _)) => entry(name.take(), line, second).map_err(RowError::Row).and_then(|entry| {
                entry.store(&mut rows, table, number)?;
                seen.insert(entry.norad_id);
                Ok(())
            }),
        };
        name = None;
        if let Err(error) = outcome {
            error.note(number, &mut out.bad, &mut out.errors)?;
        }
    }
    out.satellites = seen.len();
    out.batches = rows.finish()?;
    Ok(out)
}

/// One entry.
struct Entry<'a> {
    norad_id: &'a str,
    name: String,
    classification: &'a str,
    designator: &'a str,
    /// UTC microseconds.
    epoch_us: i64,
    mean_motion_dot: f64,
    mean_motion_ddot: f64,
    bstar: f64,
    inclination: f64,
    raan: f64,
    eccentricity: f64,
    arg_perigee: f64,
    mean_anomaly: f64,
    /// Revolutions a day.
    mean_motion: f64,
    revolution: f64,
}

fn shape(text: String) -> Fault {
    Fault::Shape(text)
}

/// A line of 69 ASCII characters whose checksum holds.
fn checked<'a>(line: &'a [u8], which: &str) -> Result<&'a str, Fault> {
    let text = std::str::from_utf8(line).ok().filter(|t| t.is_ascii() && t.len() > CHECKED);
    let text = text.ok_or_else(|| shape(format!("line {which} has not 69 ASCII characters")))?;
    let sum: u32 =
        text[..CHECKED].bytes().map(|b| if b == b'-' { 1 } else { (b as char).to_digit(10).unwrap_or(0) }).sum();
    let told = text.as_bytes()[CHECKED] as char;
    if told.to_digit(10) != Some(sum % 10) {
        return Err(shape(format!("the checksum of line {which} is {told} and should be {}", sum % 10)));
    }
    Ok(text)
}

/// Columns `from` to `to`, as the documentation counts them.
fn columns(line: &str, from: usize, to: usize) -> &str {
    line[from - 1..to].trim()
}

fn number(line: &str, from: usize, to: usize, what: &str) -> Result<f64, Fault> {
    let text = columns(line, from, to);
    let value = text.parse().ok().filter(|v: &f64| v.is_finite());
    value.ok_or_else(|| shape(format!("{what} is {text:?}, no number")))
}

/// A number like ` 12345-4`: 0.12345 × 10⁻⁴.
fn assumed(line: &str, from: usize, to: usize, what: &str) -> Result<f64, Fault> {
    let text = columns(line, from, to);
    let bad = || shape(format!("{what} is {text:?}, no number with an assumed point"));
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let at = digits.rfind(['-', '+']).filter(|at| *at > 0).ok_or_else(bad)?;
    let (mantissa, exponent) = digits.split_at(at);
    if !mantissa.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let exponent: i32 = exponent.parse().map_err(|_| bad())?;
    format!("0.{mantissa}e{exponent}").parse().map(|v: f64| sign * v).map_err(|_| bad())
}

fn entry<'a>(name: Option<&[u8]>, first: &'a [u8], second: &'a [u8]) -> Result<Entry<'a>, Fault> {
    let (first, second) = (checked(first, "1")?, checked(second, "2")?);
    let norad_id = columns(first, 3, 7);
    if norad_id.is_empty() || norad_id != columns(second, 3, 7) {
        return Err(shape(format!("line 1 is of satellite {norad_id:?}, line 2 of {:?}", columns(second, 3, 7))));
    }
    let name = match name {
        Some(name) => {
            let name = std::str::from_utf8(name).map_err(|_| Fault::Utf8("a name"))?;
            name.strip_prefix("0 ").unwrap_or(name).trim().to_owned()
        }
        None => format!("NORAD {norad_id}"),
    };
    let eccentricity = columns(second, 27, 33);
    let eccentricity =
        eccentricity.bytes().all(|b| b.is_ascii_digit()).then(|| format!("0.{eccentricity}").parse().ok());
    let mean_motion = number(second, 53, 63, "the mean motion")?;
    if mean_motion <= 0.0 {
        return Err(shape(format!("the mean motion is {mean_motion}, not above 0")));
    }
    Ok(Entry {
        norad_id,
        name,
        classification: columns(first, 8, 8),
        designator: columns(first, 10, 17),
        epoch_us: epoch(first)?,
        mean_motion_dot: number(first, 34, 43, "the first derivative of the mean motion")?,
        mean_motion_ddot: assumed(first, 45, 52, "the second derivative of the mean motion")?,
        bstar: assumed(first, 54, 61, "the drag term")?,
        inclination: number(second, 9, 16, "the inclination")?,
        raan: number(second, 18, 25, "the right ascension of the ascending node")?,
        eccentricity: eccentricity.flatten().ok_or_else(|| shape("the eccentricity is no number".into()))?,
        arg_perigee: number(second, 35, 42, "the argument of perigee")?,
        mean_anomaly: number(second, 44, 51, "the mean anomaly")?,
        mean_motion,
        revolution: number(second, 64, 68, "the revolution number")?,
    })
}

/// Year of two digits (57 to 99 are of the last century) and day of the year with its fraction.
fn epoch(line: &str) -> Result<i64, Fault> {
    let bad = || shape(format!("the epoch is {:?}", columns(line, 19, 32)));
    let year: i32 = columns(line, 19, 20).parse().map_err(|_| bad())?;
    let year = if year < 57 { 2000 + year } else { 1900 + year };
    let days: f64 = columns(line, 21, 32).parse().map_err(|_| bad())?;
    if !(1.0..367.0).contains(&days) {
        return Err(bad());
    }
    let new_year = NaiveDate::from_ymd_opt(year, 1, 1).and_then(|d| d.and_hms_opt(0, 0, 0)).ok_or_else(bad)?;
    Ok(new_year.and_utc().timestamp_micros() + ((days - 1.0) * DAY_S * 1e6).round() as i64)
}

impl Entry<'_> {
    fn store(&self, rows: &mut Rows, table: &str, number: u32) -> Result<(), RowError> {
        // Kepler: the cube of the axis by the square of the angular velocity
        let axis_km = (MU / (self.mean_motion * TAU / DAY_S).powi(2)).cbrt();
        let apogee_km = axis_km * (1.0 + self.eccentricity) - RADIUS_KM;
        let perigee_km = axis_km * (1.0 - self.eccentricity) - RADIUS_KM;
        let period_min = DAY_S / 60.0 / self.mean_motion;
        let orbit = match () {
            () if self.eccentricity >= 0.25 => "HEO",
            () if apogee_km < 2_000.0 => "LEO",
            () if (1_400.0..1_480.0).contains(&period_min) => "GEO",
            () => "MEO",
        };
        let tag = |name, value| (name, Role::Tag, Value::Str(value));
        let field = |name, value| (name, Role::Field, Value::Float(value));
        let tags = [
            tag("norad_id", self.norad_id),
            tag("object_name", &self.name),
            tag("classification", self.classification),
            tag("international_designator", self.designator),
            tag("orbit_type", orbit),
        ];
        let fields = [
            field("inclination_deg", self.inclination),
            field("raan_deg", self.raan),
            field("eccentricity", self.eccentricity),
            field("arg_perigee_deg", self.arg_perigee),
            field("mean_anomaly_deg", self.mean_anomaly),
            field("mean_motion_rev_day", self.mean_motion),
            field("bstar", self.bstar),
            field("mean_motion_dot", self.mean_motion_dot),
            field("mean_motion_ddot", self.mean_motion_ddot),
            field("revolution_number", self.revolution),
            field("semi_major_axis_km", axis_km),
            field("period_min", period_min),
            field("apogee_km", apogee_km),
            field("perigee_km", perigee_km),
        ];
        // a tag without a value is no tag
        let tags = tags.into_iter().filter(|(.., value)| !matches!(value, Value::Str("")));
        let cells: Vec<Cell<'_>> = tags.chain(fields).collect();
        rows.add(table, &cells, Instant { us: self.epoch_us, ns: 0 }, number)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, UInt32Type};

    use super::*;

    // the example of the documentation
    const ISS: &str = "ISS (ZARYA)\n\
        1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927\n\
        2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537\n";

    fn value(batch: &Batch, name: &str, row: usize) -> String {
        let column = batch.columns.iter().find(|c| &*c.name == name).unwrap_or_else(|| panic!("{name}"));
        match column.role {
            Role::Tag => {
                let dictionary = column.array.as_dictionary::<UInt32Type>();
                let key = dictionary.is_valid(row).then(|| dictionary.keys().value(row) as usize);
                key.map_or("NULL".into(), |key| dictionary.values().as_string::<i32>().value(key).to_owned())
            }
            _ => column.array.as_primitive::<Float64Type>().value(row).to_string(),
        }
    }

    #[test]
    fn the_example_of_the_documentation_means_what_it_says() {
        let decoded = decode(ISS.as_bytes(), "satellite_tle").unwrap();
        assert_eq!((decoded.entries, decoded.bad, decoded.satellites), (1, 0, 1), "{:?}", decoded.errors);
        let batch = &decoded.batches[0];
        // 20 September 2008, 12:25:40.104
        assert_eq!(batch.time[0], 1_221_913_540_104_192);
        let wanted = [
            ("norad_id", "25544"),
            ("object_name", "ISS (ZARYA)"),
            ("classification", "U"),
            ("international_designator", "98067A"),
            ("orbit_type", "LEO"),
            ("inclination_deg", "51.6416"),
            ("raan_deg", "247.4627"),
            ("eccentricity", "0.0006703"),
            ("arg_perigee_deg", "130.536"),
            ("mean_anomaly_deg", "325.0288"),
            ("mean_motion_rev_day", "15.72125391"),
            ("bstar", "-0.000011606"),
            ("mean_motion_dot", "-0.00002182"),
            ("mean_motion_ddot", "0"),
            ("revolution_number", "56353"),
        ];
        for (name, text) in wanted {
            assert_eq!(value(batch, name, 0), text, "{name}");
        }
        let near = |name: &str, wanted: f64, by: f64| {
            let found: f64 = value(batch, name, 0).parse().unwrap();
            assert!((found - wanted).abs() < by, "{name}: {found}");
        };
        near("semi_major_axis_km", 6_730.96, 0.1);
        near("period_min", 91.595, 0.01);
        near("apogee_km", 357.3, 0.2);
        near("perigee_km", 348.3, 0.2);
    }

    #[test]
    fn entries_of_two_and_three_lines_mix_and_bad_ones_are_named() {
        let lines: Vec<&str> = ISS.lines().collect();
        let broken = lines[2].replace("51.6416", "51.6417");
        let body = format!(
            "{}\r\n{}\r\n0 {}\n{}\n{}\n\n{}\n{broken}\n{}\nlast\n",
            lines[1], lines[2], lines[0], lines[1], lines[2], lines[1], lines[1]
        );
        let decoded = decode(body.as_bytes(), "t").unwrap();
        assert_eq!((decoded.entries, decoded.bad, decoded.satellites), (4, 2, 1));
        let batch = &decoded.batches[0];
        assert_eq!(
            (value(batch, "object_name", 0), value(batch, "object_name", 1)),
            ("NORAD 25544".into(), "ISS (ZARYA)".into())
        );
        let told: Vec<(u32, &str)> = decoded.errors.iter().map(|e| (e.number, e.reason.as_str())).collect();
        assert_eq!(told[0], (7, "the checksum of line 2 is 7 and should be 8"));
        assert_eq!(told[1].0, 9);
        assert!(decode(b"", "t").unwrap().batches.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "([12] [0-9A-Z .+-]{60,70}\n|[a-zé]{0,9}\n){0,6}") {
            let decoded = decode(text.as_bytes(), "t").unwrap();
            let rows: usize = decoded.batches.iter().map(Batch::rows).sum();
            proptest::prop_assert_eq!(rows + decoded.bad, decoded.entries);
        }
    }
}
