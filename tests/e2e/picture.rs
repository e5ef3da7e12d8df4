//! The pictures of the README, made from what the real binary draws at a real terminal: a deploy, and one that is taken
//! back. `UPDATE_GOLDEN=1 tests/run --test e2e picture` makes them again; without it, the test holds the committed
//! ones against a new run, in which only ids, times and process numbers may differ.

use std::fs;
use std::path::Path;

use super::support::alike::alike;
use super::support::svg::picture;
use super::support::terminal::Terminal;
use super::support::{App, Bench, Live, Make};

const COLUMNS: u16 = 120;

fn bench() -> Bench {
    let mut bench = Make::pm2(2).bench();
    let mut address = bench.host().address();
    address.insert("name".into(), "web1".into());
    bench.config.set("app", "blog").set("stages.production.hosts", vec![address]).set("health.soak", "4s");
    // What a real build does is no part of this; that it is folded is.
    bench.config.set("build.command", "seq -f 'compiled page %g' 1 40; sleep 1");
    bench
}

/// Deploys `app` at a terminal and holds the picture against the committed one.
fn shown(bench: &Bench, app: &App, code: i32, name: &str) {
    bench.write(app);
    let screen = Terminal::start(bench, COLUMNS, &["deploy", "production"]).finish();
    assert_eq!(screen.code, Some(code), "{}", screen.text);
    let path = bench.site().path.to_string_lossy().into_owned();
    let bytes = String::from_utf8(screen.bytes).unwrap().replace(&path, "/srv/blog");
    let svg = picture("shipit deploy production", bytes.as_bytes(), COLUMNS);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &svg).unwrap();
    }
    let (then, now) = (words(&fs::read_to_string(&file).unwrap_or_default()), words(&svg));
    assert!(then == now, "docs/{name} differs; UPDATE_GOLDEN=1 makes it again.\nThen:\n{then}\nNow:\n{now}");
}

/// The words of a picture, without places, and without what differs from run to run.
fn words(svg: &str) -> String {
    let texts = svg.lines().filter_map(|line| line.strip_prefix("<text ")?.split_once('>'));
    let texts = texts.map(|(_, text)| alike(text.trim_end_matches("</text>")));
    // Only what takes its time has one, and how often a worker crashed is a matter of time too.
    let until = |text: String| {
        text.split(" of blog: ").flat_map(|text| text.split("  (")).next().unwrap_or_default().to_owned()
    };
    // How much is sent depends on how well an id is packed.
    let texts = texts.map(|text| match text.split_once(" sent, ") {
        Some((_, rest)) => format!("sent, {rest}"),
        None => text,
    });
    let plain = texts.map(|text| until(text.replace(" in 1.0s", "").replace("1.0s", "")).trim().to_owned());
    let mut plain: Vec<String> = plain.filter(|text| !text.is_empty()).map(|text| text + "\n").collect();
    // Connecting goes on beside the build: which of them ends first is chance.
    plain.sort();
    plain.concat()
}

#[test]
fn the_pictures_of_the_readme_can_be_made_again() {
    let bench = bench();
    bench.release(&App::server("v1"));
    shown(&bench, &App::server("v2"), 0, "deploy.svg");
    let live = bench.site().current().unwrap();
    // Found only after the switch: a candidate alone is well.
    let locked = "if (process.env.NODE_APP_INSTANCE === \"1\") {\n\
        console.error(\"Error: cache.db is locked by another process\");\n\
        setTimeout(() => process.exit(1), 300);\n} else listen();\n";
    let good = String::from_utf8(App::server("v3").files()[Path::new("server.js")].clone()).unwrap();
    let (start, _) = good.trim_end().rsplit_once('\n').expect("its last line starts it");
    shown(&bench, &App::server("v3").file("server.js", format!("{start}\n{locked}")), 4, "taken-back.svg");
    bench.site().assert_invariant(&Live::Old(live));
}
