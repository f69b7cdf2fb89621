//! The figures: printed as a table for people, written as JSON for whoever compares two runs.
//!
//! An aim that was missed is said, with how far; nothing fails because of a time.

use serde_json::{Value, json};
use std::path::Path;

/// Whether more or less is better.
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
    /// Adds a figure, and prints it at once: a run takes minutes.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, aim: Option<(f64, Better)>) {
        self.note(name, value, unit, aim, "");
    }

    /// The same, with a word beside it.
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

    /// The value of a figure that was added before.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Prints all figures together.
    pub fn print(&self) {
        println!("\n{:<58} {:>14} {:>12} {:>8}", "figure", "seen", "aim", "ratio");
        for figure in &self.0 {
            println!("{}", figure.line());
        }
        let missed: Vec<String> = self.0.iter().filter_map(Figure::missed).collect();
        if !missed.is_empty() {
            println!("\naims that were missed:\n{}", missed.join("\n"));
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
        let seen = format!("{} {}", number(self.value), self.unit);
        let (aim, ratio) = match self.aim {
            Some((aim, better)) => {
                let sign = if matches!(better, Better::More) { "≥" } else { "≤" };
                (format!("{sign} {}", number(aim)), format!("{:.2}", self.value / aim))
            }
            None => (String::new(), String::new()),
        };
        format!("{:<58} {seen:>14} {aim:>12} {ratio:>8}  {}", self.name, self.note).trim_end().to_owned()
    }

    /// By how much the aim was missed, if it was.
    fn missed(&self) -> Option<String> {
        let (aim, better) = self.aim?;
        let factor = match better {
            Better::More => aim / self.value,
            Better::Less => self.value / aim,
        };
        (factor > 1.0).then(|| {
            format!(
                "  {}: {} {} where {} was aimed at, {factor:.1} times off",
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
    fn a_missed_aim_is_told() {
        let figure = |value, aim| Figure { name: "x".into(), unit: "/s", value, aim: Some(aim), note: String::new() };
        assert_eq!(figure(20.0, (10.0, Better::More)).missed(), None);
        assert_eq!(figure(5.0, (10.0, Better::Less)).missed(), None);
        assert!(figure(5.0, (10.0, Better::More)).missed().unwrap().ends_with("2.0 times off"));
    }
}
