//! A result with a time column as a line chart of characters.

use anyhow::{Context, Result, bail};
use chrono::DateTime;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::Span;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, LegendPosition, Widget};
use serde_json::Value;

use super::is_number;
use crate::client::text;

/// Lines that are drawn; a chart with more of them shows nothing.
const SERIES: usize = 12;
const COLOURS: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];

/// One line: its points as seconds since 1970 and values.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws an answer in so many cells; with colours as escapes of a terminal.
///
/// # Errors
/// It has no column of times or none of numbers.
pub fn draw(body: &Value, width: u16, height: u16, is_coloured: bool) -> Result<String> {
    let (series, more) = series(body)?;
    let span = |pick: fn(&(f64, f64)) -> f64| {
        let all = series.iter().flat_map(|s| &s.points).map(pick).filter(|v| v.is_finite());
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
    };
    let (times, values) = (span(|p| p.0), span(|p| p.1));
    if times.0 > times.1 || values.0 > values.1 {
        bail!("there is no point to draw");
    }
    let widened = |(lo, hi): (f64, f64), by: f64| if lo == hi { (lo - by, hi + by) } else { (lo, hi) };
    let (times, values) = (widened(times, 1.0), widened(values, values.0.abs().max(1.0) / 10.0));
    let datasets = series.iter().enumerate().map(|(at, s)| {
        Dataset::default()
            .name(s.name.as_str())
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(COLOURS[at % COLOURS.len()]))
            .data(&s.points)
    });
    let dim = Style::new().add_modifier(Modifier::DIM);
    let middle = |(lo, hi): (f64, f64)| lo + (hi - lo) / 2.0;
    let label = |text: String| Span::from(text);
    let at = |seconds: f64| label(instant(seconds, times.1 - times.0));
    let x = Axis::default().style(dim).bounds([times.0, times.1]).labels([at(times.0), at(middle(times)), at(times.1)]);
    let number = |value: f64| label(short(value));
    let y = Axis::default().style(dim).bounds([values.0, values.1]).labels([
        number(values.0),
        number(middle(values)),
        number(values.1),
    ]);
    let legend = (series.len() > 1).then_some(LegendPosition::TopRight);
    let chart = Chart::new(datasets.collect()).x_axis(x).y_axis(y).legend_position(legend);
    let area = Rect::new(0, 0, width.max(20), height.max(6));
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    let mut out = lines(&buffer, is_coloured);
    if let [only] = series.as_slice() {
        out = format!("{}\n{out}", only.name);
    }
    if more > 0 {
        out += &format!("({more} more series are not drawn)\n");
    }
    Ok(out)
}

/// One series for each column of numbers and each value that the columns of text have together.
fn series(body: &Value) -> Result<(Vec<Series>, usize)> {
    let list = |key: &str| body[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let (columns, types, rows) = (list("columns"), list("types"), list("data"));
    let of = |wanted: fn(&str) -> bool| -> Vec<usize> {
        (0..columns.len()).filter(|at| types.get(*at).and_then(Value::as_str).is_some_and(wanted)).collect()
    };
    let time = of(|t| t.starts_with("timestamp") || t.starts_with("date"));
    let time = *time.first().context("the answer has no column of times; \\chart draws values over time")?;
    let numbers = of(is_number);
    if numbers.is_empty() {
        bail!("the answer has no column of numbers; \\chart draws values over time");
    }
    let texts = of(|t| t == "utf8");
    let mut found: Vec<Series> = Vec::new();
    let mut more = std::collections::BTreeSet::new();
    for row in rows {
        let Some(seconds) = row[time].as_str().and_then(seconds) else { continue };
        let tags: Vec<String> = texts.iter().map(|at| text(&row[*at])).collect();
        for number in &numbers {
            let Some(value) = row[*number].as_f64() else { continue };
            let mut name = tags.join(" ");
            if numbers.len() > 1 || name.is_empty() {
                let column = text(&columns[*number]);
                name = if name.is_empty() { column } else { format!("{name} {column}") };
            }
            match found.iter().position(|s| s.name == name) {
                Some(at) => found[at].points.push((seconds, value)),
                None if found.len() < SERIES => found.push(Series { name, points: vec![(seconds, value)] }),
                None => {
                    more.insert(name);
                }
            }
        }
    }
    found.iter_mut().for_each(|s| s.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    Ok((found, more.len()))
}

/// Seconds since 1970 of a time as JSON has it.
fn seconds(text: &str) -> Option<f64> {
    let us = DateTime::parse_from_rfc3339(text).map(|at| at.timestamp_micros()).ok().or_else(|| {
        let plain = text.trim_end_matches('Z').replace(' ', "T");
        let at = chrono::NaiveDateTime::parse_from_str(&plain, "%Y-%m-%dT%H:%M:%S%.f").ok();
        let day = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        Some(at.or_else(day)?.and_utc().timestamp_micros())
    })?;
    Some(us as f64 / 1e6)
}

/// A time as short as a chart over so many seconds allows.
fn instant(seconds: f64, over: f64) -> String {
    let format = match over {
        o if o > 3.0 * 86_400.0 => "%Y-%m-%d",
        o if o > 86_400.0 => "%m-%d %H:%M",
        o if o > 120.0 => "%H:%M",
        o if o > 5.0 => "%H:%M:%S",
        _ => "%H:%M:%S%.3f",
    };
    DateTime::from_timestamp_micros((seconds * 1e6) as i64).map_or_else(String::new, |at| at.format(format).to_string())
}

/// A number in few characters.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e15 || (v > 0.0 && v < 1e-3) => return format!("{value:.1e}"),
        v if v >= 1e12 => (value / 1e12, "T"),
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The cells as lines.
fn lines(buffer: &Buffer, is_coloured: bool) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut last = None;
        for x in 0..buffer.area.width {
            let Some(cell) = buffer.cell((x, y)) else { continue };
            let code = code(cell.fg, cell.modifier);
            if is_coloured && last != Some(code) {
                line += &format!("\x1b[0;{code}m");
                last = Some(code);
            }
            line += cell.symbol();
        }
        if is_coloured {
            line += "\x1b[0m";
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn code(colour: Color, modifier: Modifier) -> &'static str {
    match colour {
        Color::Cyan => "36",
        Color::Yellow => "33",
        Color::Green => "32",
        Color::Magenta => "35",
        Color::Blue => "34",
        Color::Red => "31",
        _ if modifier.contains(Modifier::DIM) => "2",
        _ => "0",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(rows: Value) -> Value {
        json!({"columns": ["time", "host", "usage"], "types": ["timestamp[us]", "utf8", "float64"], "data": rows})
    }

    #[test]
    fn a_line_rises_from_the_lower_left_to_the_upper_right() {
        let rows: Vec<Value> = (0..60).map(|i| json!([format!("2026-01-01T00:{i:02}:00Z"), "a", i as f64])).collect();
        let drawn = draw(&answer(rows.into()), 60, 12, false).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "a");
        assert!(lines[1].starts_with("59"), "{drawn}");
        assert!(drawn.contains("00:00") && drawn.contains("00:59"), "{drawn}");
        let ink = |line: &str| line.chars().position(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
        let (first, last) =
            (lines.iter().find_map(|l| ink(l)).unwrap(), lines.iter().rev().find_map(|l| ink(l)).unwrap());
        assert!(first > 40 && last < 12, "{drawn}");
    }

    #[test]
    fn each_tag_is_a_series_and_what_cannot_be_drawn_is_told() {
        let rows = json!([
            ["2026-01-01T00:00:00Z", "a", 1],
            ["2026-01-01T00:00:01Z", "b", 2],
            ["2026-01-01T00:00:02Z", "a", null]
        ]);
        let (found, more) = series(&answer(rows)).unwrap();
        assert_eq!(found.iter().map(|s| (s.name.as_str(), s.points.len())).collect::<Vec<_>>(), [("a", 1), ("b", 1)]);
        assert_eq!(more, 0);
        let error = draw(&json!({"columns": ["n"], "types": ["int64"], "data": [[1]]}), 60, 12, false).unwrap_err();
        assert!(error.to_string().contains("no column of times"));
        let error = draw(&answer(json!([])), 60, 12, false).unwrap_err();
        assert!(error.to_string().contains("no point"));
        assert_eq!([short(0.25), short(12_500.0), short(-3e9), short(1e-7)], ["0.25", "12.5k", "-3G", "1.0e-7"]);
    }
}
