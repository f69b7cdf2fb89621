//! The figures, printed as a table and written as JSON.
//!
//! A missed aim is printed with its factor; it is not an error.

use serde_json::{Value, json};
use std::path::Path;

/// Which direction is better.
#[derive(Clone, Copy)]
pub enum Better {
    /// Throughput.
    More,
    /// Time and memory.
    Less,
}

/// One figure.
pub struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    aim: Option<(f64, Better)>,
    note: String,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report(Vec<Figure>);

impl Report {
    /// Adds a figure and prints it at once, since a run takes minutes.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, aim: Option<(f64, Better)>) {
        self.note(name, value, unit, aim, "");
    }

    /// The same, with a note.
    pub fn note(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: Option<(f64, Better)>,
        note: impl Into<String>,
    ) {
        let figure = Figure { name: name.into(), unit, value, aim, note: note.into() };
        println!("{}", figure.line());
        self.0.push(figure);
    }

    /// The value of an earlier figure.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Prints all figures together.
    pub fn print(&self) {
        println!("\n{:<58} {:>14} {:>12} {:>8}", "figure", "value", "aim", "ratio");
        for figure in &self.0 {
            println!("{}", figure.line());
        }
        let missed: Vec<String> = self.0.iter().filter_map(Figure::missed).collect();
        if !missed.is_empty() {
            println!("\nmissed aims:\n{}", missed.join("\n"));
        }
    }

    /// Writes them to a file.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let figures: Vec<Value> = self
            .0
            .iter()
            .map(|f| {
                json!({ "figure": f.name, "value": f.value, "unit": f.unit, "aim": f.aim.map(|(aim, _)| aim), "note": f.note })
            })
            .collect();
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)
    }
}

impl Figure {
    fn line(&self) -> String {
        let value = format!("{} {}", number(self.value), self.unit);
        let (aim, ratio) = match self.aim {
            Some((aim, better)) => {
                let sign = if matches!(better, Better::More) { "≥" } else { "≤" };
                (format!("{sign} {}", number(aim)), format!("{:.2}", self.value / aim))
            }
            None => (String::new(), String::new()),
        };
        format!("{:<58} {value:>14} {aim:>12} {ratio:>8}  {}", self.name, self.note).trim_end().to_owned()
    }

    /// A line about a missed aim.
    fn missed(&self) -> Option<String> {
        let (aim, better) = self.aim?;
        let factor = match better {
            Better::More => aim / self.value,
            Better::Less => self.value / aim,
        };
        (factor > 1.0).then(|| {
            format!(
                "  {}: {} {}, aim {}, missed by a factor of {factor:.1}",
                self.name,
                number(self.value),
                self.unit,
                number(aim)
            )
        })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_aim_is_reported() {
        let figure = |value, aim| Figure { name: "x".into(), unit: "/s", value, aim: Some(aim), note: String::new() };
        assert_eq!(figure(20.0, (10.0, Better::More)).missed(), None);
        assert_eq!(figure(5.0, (10.0, Better::Less)).missed(), None);
        assert!(figure(5.0, (10.0, Better::More)).missed().unwrap().ends_with("missed by a factor of 2.0"));
    }
}
