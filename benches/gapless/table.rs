//! What was counted, as a text for people and as the README's table. Leaves nothing out that was lost.

use std::fmt::Write;

use crate::kinds::{Ask, by};
use crate::play::Played;
use crate::tally::{Count, Phase};

/// Everything: a line for each kind of client.
pub(crate) fn text(played: &Played) -> String {
    let mut text = format!("\n{}\n", played.row.name());
    for phase in Phase::ALL {
        let runs = played.runs.get(&phase).copied().unwrap_or(0);
        if runs == 0 {
            continue;
        }
        let _ = writeln!(text, "  {} ({runs})", words(phase));
        for kind in by(played.row.ways()) {
            let count = played.tally.sum(|of, one| of == phase && one == kind);
            let _ = writeln!(
                text,
                "    {kind:<38} {:>7} requests {:>5} failed {:>4} of them resent {:>4} hung {:>6} ms {}",
                count.requests,
                count.failed(),
                count.resent,
                count.hung(),
                count.gap.as_millis(),
                reasons(&count)
            );
        }
    }
    let _ = writeln!(text, "  answers of releases that failed, while they were tried: {}", played.of_failed);
    for lost in &played.lost {
        let _ = writeln!(text, "  lost: {lost}");
    }
    if !played.lost.is_empty() {
        let _ = writeln!(text, "  the proxies said last:\n{}", played.said);
    }
    for odd in &played.odd {
        let _ = writeln!(text, "  ODD: {odd}");
    }
    text
}

fn reasons(count: &Count) -> String {
    let all: Vec<String> = count.failed.iter().map(|(fault, n)| format!("{n} {fault}")).collect();
    all.join(", ")
}

/// For the README: a line for each row.
pub(crate) fn markdown(all: &[Played]) -> String {
    let mut text =
        "| | Requests | Failed in good deploys | in failing ones | in those without a boot test | in rollbacks | \
                    Hung | Longest gap |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for played in all {
        let sum = played.tally.sum(|_, _| true);
        let of = |phase: Phase| played.tally.sum(|one, _| one == phase);
        let played_in = |phase: &Phase| played.runs.contains_key(phase);
        let told = |phase: &Phase| if played_in(phase) { failures(&of(*phase)) } else { "-".to_owned() };
        let failed: Vec<String> = Phase::ALL.iter().map(told).collect();
        // Who asks for three seconds waits for three seconds.
        let gap = played.tally.sum(|_, kind| kind.ask != Ask::Slow).gap.as_millis();
        let name = played.row.name();
        let _ = writeln!(text, "| {name} | {} | {} | {} | {gap} ms |", sum.requests, failed.join(" | "), sum.hung());
    }
    text
}

/// Failed requests; and those that fail for a client that tries again over a new connection too.
fn failures(count: &Count) -> String {
    match (count.failed(), count.failed() - count.resent) {
        (all, left) if all == left => all.to_string(),
        (all, left) => format!("{all} ({left})"),
    }
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Good => "good deploys",
        Phase::Bad => "deploys that fail",
        Phase::Untried => "deploys that fail, without a boot test",
        Phase::Rollback => "rollbacks",
    }
}
