//! What a person sees at a terminal: lines that move while work goes on, and what is left to read and to copy.

use super::support::terminal::{Screen, Terminal};
use super::support::{App, Bad, Bench, Live, Make};

/// Everything that was ever drawn, without colours.
fn drawn(screen: &Screen) -> String {
    ["\u{1b}[1m", "\u{1b}[0m"]
        .iter()
        .fold(String::from_utf8_lossy(&screen.bytes).into_owned(), |text, code| text.replace(code, ""))
}

/// The screen holds what was said to stay, in this order, and nothing that moved.
#[track_caller]
fn left(screen: &Screen, lines: &[&str]) {
    let mut rest = screen.text.as_str();
    for line in lines {
        let Some((_, after)) = rest.split_once(line) else { panic!("{line:?} is not left:\n{}", screen.text) };
        rest = after;
    }
    let moving = |line: &str| line.starts_with(['-', '\\', '|', '/']) || line.contains("B/s");
    assert!(!screen.text.lines().any(moving), "a line that moved is left:\n{}", screen.text);
}

fn files(hosts: usize) -> Bench {
    let mut bench = Make::files().hosts(hosts).bench();
    // Nothing moves before the hosts are connected: the build goes on for longer.
    let dirs: Vec<String> = bench.hosts.iter().map(|host| host.site.dir.display().to_string()).collect();
    let wait = format!("for dir in {}; do until ls -d $dir/.shipit/t.*; do sleep 0.1; done; done", dirs.join(" "));
    bench
        .config
        .set("build.command", format!("seq -f 'compiled page %g' 1 60; {{ {wait}; }} >/dev/null 2>&1; sleep 1"));
    bench.write(&App::site("v1").ballast(3_000_000));
    // The build's result is there already.
    bench
}

#[test]
fn a_deploy_moves_one_line_a_host_and_leaves_what_is_to_be_read() {
    let bench = files(2);
    let screen = Terminal::start(&bench, 100, &["deploy", "production"]).finish();
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    left(
        &screen,
        &[
            "deploy tiny (production) on a and b",
            "build         ok",
            "package       ok",
            "a  released",
            "b  released",
            "done: ",
        ],
    );
    assert!(!screen.text.contains("compiled page"), "a good build is folded:\n{}", screen.text);
    let drawn = drawn(&screen);
    for moving in ["here  build", "compiled page 60", "a     receive", "b     activate"] {
        assert!(drawn.contains(moving), "{moving:?} was never drawn:\n{}", drawn.escape_debug());
    }
    assert!(bench.site().current().is_some());
}

#[test]
fn sending_shows_bytes_and_rate() {
    let mut bench = Make::files().proxied().bench();
    bench.config.set("build.output", "dist");
    bench.write(&App::site("v1").ballast(20_000_000));
    bench.host().proxy().limit(10_000_000);
    let screen = Terminal::start(&bench, 100, &["deploy", "production"]).finish();
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    let drawn = drawn(&screen);
    assert!(drawn.contains(" of 20 MB, ") && drawn.contains("MB/s"), "{}", drawn.escape_debug());
    left(&screen, &["receive       ok", "done: "]);
}

#[test]
fn a_narrow_terminal_is_enough() {
    let bench = files(1);
    for columns in [20, 40] {
        let screen = Terminal::start(&bench, columns, &["deploy", "production"]).finish();
        assert_eq!(screen.code, Some(0), "{}", screen.text);
        // Long lines that stay are wrapped by the terminal itself, so that they can be copied whole.
        let joined: String = screen.text.split_whitespace().collect();
        assert!(joined.contains("deploytiny(production)ona") && joined.contains("isliveonain/"), "{joined}");
        let moved = screen.text.lines().any(|line| line.contains(" here ") || line.contains(" connect   "));
        assert!(!moved, "a line that moved is left:\n{}", screen.text);
    }
}

#[test]
fn a_build_that_fails_is_shown_whole_and_the_end_says_what_to_do() {
    let mut bench = files(1);
    bench.config.set("build.command", "seq -f 'compiled page %g' 1 60; echo 'Type error: x is not a y' >&2; exit 3");
    bench.write_config();
    let screen = Terminal::start(&bench, 80, &["deploy", "production"]).finish();
    assert_eq!(screen.code, Some(1));
    left(
        &screen,
        &[
            "build         failed",
            "compiled page 1\n",
            "compiled page 60",
            "error: the build failed",
            "now: ",
            "next: ",
        ],
    );
    assert!(screen.text.contains("Type error: x is not a y"), "{}", screen.text);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn a_failed_host_says_why_among_several() {
    let mut bench = Make::pm2(1).bench();
    bench.config.set("health.soak", "1s").set("health.within", "3s");
    let live = bench.release(&App::server("good"));
    bench.write(&App::bad("bad", Bad::ExitsAtOnce));
    let screen = Terminal::start(&bench, 100, &["deploy", "production", "--no-boot-test"]).finish();
    assert_eq!(screen.code, Some(4), "{}", screen.text);
    left(
        &screen,
        &["activate      failed", "error: a: activate failed", "now: ", "is live again and proved", "next: "],
    );
    bench.host().assert_live(&Live::Old(live), 1);
}

#[test]
fn ctrl_c_says_that_it_was_heard_and_leaves_a_clean_screen() {
    let mut bench = files(1);
    bench.config.set("build.command", "echo working hard; sleep 60");
    bench.write_config();
    let mut terminal = Terminal::start(&bench, 80, &["deploy", "production"]);
    terminal.shows("working hard");
    terminal.types("\u{3}");
    let screen = terminal.finish();
    assert_eq!(screen.code, Some(130), "{}", screen.text);
    left(&screen, &["warning: cancelled", "error: cancelled", "now: "]);
    bench.site().assert_invariant(&Live::Nothing);
}

#[test]
fn nothing_moves_where_it_is_not_wanted() {
    let bench = files(1);
    for words in [&["deploy", "production", "-q"][..], &["deploy", "production", "--json"]] {
        let screen = Terminal::start(&bench, 80, words).finish();
        assert_eq!(screen.code, Some(0), "{}", screen.text);
        assert!(!drawn(&screen).contains("\u{1b}[J"), "{}", drawn(&screen).escape_debug());
    }
}
