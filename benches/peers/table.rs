//! What was measured, as a text for people and as the README's table: medians and their ratios.

use std::fmt::Write;

use shipit::text::bytes;

use super::world::{Sample, Tool, Wire};

/// All samples, in the order in which they are to be told.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

/// One task over one link.
#[derive(Debug)]
struct Row {
    link: &'static str,
    task: &'static str,
    samples: Vec<(Tool, Vec<Sample>)>,
}

impl Table {
    /// One more sample.
    pub(crate) fn add(&mut self, link: &'static str, task: &'static str, tool: Tool, sample: Sample) {
        eprintln!("{link}: {task}: {}: {:.2} s", tool.name(), sample.seconds);
        let at = self.0.iter().position(|row| (row.link, row.task) == (link, task));
        let at = at.unwrap_or_else(|| {
            let samples = Tool::ALL.map(|tool| (tool, Vec::new())).to_vec();
            self.0.push(Row { link, task, samples });
            self.0.len() - 1
        });
        let (_, samples) = self.0[at].samples.iter_mut().find(|(of, _)| *of == tool).expect("every tool has its list");
        samples.push(sample);
    }

    /// The median of what `tool` took.
    pub(crate) fn of(&self, link: &str, task: &str, tool: Tool) -> Option<Sample> {
        self.rows(link).find(|row| row.task == task)?.of(tool)
    }

    fn links(&self) -> Vec<&'static str> {
        let mut links: Vec<_> = self.0.iter().map(|row| row.link).collect();
        links.sort_unstable();
        links.dedup();
        links.reverse();
        links
    }

    fn rows(&self, link: &str) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(move |row| row.link == link)
    }

    /// Everything, a line for each contestant.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for row in self.links().iter().flat_map(|link| self.rows(link)) {
            let _ = writeln!(text, "\n{}, {}", row.task, row.link);
            for (tool, median) in row.medians() {
                let wire = median.wire.map_or(String::new(), |wire| {
                    format!("{:>10} up {:>10} down {:>4} turns", bytes(wire.up), bytes(wire.down), wire.turns)
                });
                let ratio = row.ratio(tool).map_or(String::new(), |ratio| format!("shipit takes {ratio:.2} of that"));
                let _ = writeln!(text, "  {:<14} {:>7.2} s {wire:<44} {ratio}", tool.name(), median.seconds);
            }
        }
        text
    }

    /// For the README.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for link in self.links() {
            let names: Vec<String> = Tool::ALL.iter().map(|tool| tool.name().to_owned()).collect();
            let _ = writeln!(text, "\n| {link} | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
            for row in self.rows(link) {
                let cells: Vec<String> = Tool::ALL.iter().map(|tool| row.cell(*tool)).collect();
                let _ = writeln!(text, "| {} | {} |", row.task, cells.join(" | "));
            }
        }
        text
    }
}

impl Row {
    fn medians(&self) -> impl Iterator<Item = (Tool, Sample)> {
        self.samples.iter().filter_map(|(tool, samples)| Some((*tool, median(samples)?)))
    }

    fn of(&self, tool: Tool) -> Option<Sample> {
        self.medians().find(|(of, _)| *of == tool).map(|(_, median)| median)
    }

    /// shipit's time as a part of the other's.
    fn ratio(&self, tool: Tool) -> Option<f64> {
        let ours = self.of(Tool::Shipit).filter(|_| tool != Tool::Shipit)?;
        Some(ours.seconds / self.of(tool)?.seconds)
    }

    fn cell(&self, tool: Tool) -> String {
        let Some(median) = self.of(tool) else { return "".into() };
        let mut text = format!("{:.2} s", median.seconds);
        if let Some(ratio) = self.ratio(tool) {
            let _ = write!(text, " ({ratio:.2})");
        }
        if let Some(wire) = median.wire {
            let _ = write!(text, ", {}, {} turns", bytes(wire.up), wire.turns);
        }
        text
    }
}

/// Of each measure by itself.
fn median(samples: &[Sample]) -> Option<Sample> {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let seconds = middle(samples.iter().map(|sample| sample.seconds).collect())?;
    let wires: Vec<Wire> = samples.iter().filter_map(|sample| sample.wire).collect();
    let count = |of: fn(&Wire) -> u64| middle(wires.iter().map(|wire| of(wire) as f64).collect()).map(|n| n as u64);
    let wire = || Some(Wire { up: count(|w| w.up)?, down: count(|w| w.down)?, turns: count(|w| w.turns)? });
    Some(Sample { seconds, wire: wire() })
}
