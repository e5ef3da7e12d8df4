//! Names that somebody has put where shipit removes things: only what it made itself ever goes, by a name that parses, and
//! nothing behind a link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::site::Live;

super::in_every_shell! {
    only_what_shipit_made_is_ever_removed
}

/// A name of shipit's own form.
const OLD: &str = "20250101-000000-aaaa";
/// Names that are none.
const ODD: [&str; 9] =
    ["-rf", "..x", "a b", "a\nb", "*", "$(touch pwned)", "20250101-000000-AAAA", "2025", "-20250101-000000-aaaa"];

fn folder(path: PathBuf) {
    fs::create_dir_all(path.join("in")).unwrap();
    fs::write(path.join("in/precious"), "precious").unwrap();
}

fn is_there(path: &Path) {
    assert_eq!(fs::read_to_string(path.join("in/precious")).unwrap_or_default(), "precious", "{}", path.display());
}

fn only_what_shipit_made_is_ever_removed(bench: &mut Bench) {
    bench.config.set("release.keep", 1);
    bench.release(&App::site("v1"));
    let (home, outside) = (bench.site.dir.clone(), bench.area.path().join("outside"));
    let state = home.join(".shipit");
    for name in ["", OLD, "stage/tree", "groups"] {
        folder(outside.join(name));
    }

    // A trash and a session's notes that lead elsewhere.
    symlink(&outside, state.join("trash")).unwrap();
    symlink(&outside, state.join("t.0123456789abcdef")).unwrap();
    bench.deploy(&App::site("v2"), &[]);
    fs::remove_file(state.join("trash")).unwrap();
    fs::remove_file(state.join("t.0123456789abcdef")).unwrap();
    for name in ["", OLD, "stage/tree", "groups"] {
        is_there(&outside.join(name));
    }

    // A journal that names what is no session's: a human must look, and nothing is run or removed by it.
    fs::write(outside.join("driver.sh"), format!("touch '{}'\n", outside.join("pwned").display())).unwrap();
    for text in ["../../outside x", "../outside ../../x", "-rf -rf", "x"] {
        symlink(text, state.join("pending")).unwrap();
        bench.deploy(&App::site("v3"), &[]).expect(5).says(&["lost its notes"]);
        fs::remove_file(state.join("pending")).unwrap();
        assert!(!outside.join("pwned").exists());
        is_there(&outside);
    }

    // Names of every kind in every place, and a link by a name that parses.
    for name in ODD {
        folder(home.join("releases").join(name));
        folder(state.join("trash").join(name));
        fs::write(state.join("records").join(format!("{name}.json")), "{}\n\"state\":\"failed\",\n\"why\":\"\"}\n")
            .unwrap();
    }
    folder(state.join("trash").join("20250101-000001-aaaa"));
    for place in [home.join("releases").join(OLD), state.join("trash").join(OLD)] {
        symlink(&outside, place).unwrap();
    }
    fs::write(
        state.join("records").join(format!("{OLD}.json")),
        "{}\n\"previous\":\"\",\n\"state\":\"failed\",\n\"why\":\"\"}\n",
    )
    .unwrap();
    for version in ["v4", "v5"] {
        bench.deploy(&App::site(version), &[]).expect(0);
    }
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    for name in ODD {
        is_there(&home.join("releases").join(name));
        is_there(&state.join("trash").join(name));
    }
    is_there(&outside);
    is_there(&outside.join(OLD));
    assert!(!state.join("trash/20250101-000001-aaaa").exists(), "what shipit threw away goes");
    let live = bench.site.current().unwrap();
    let left = fs::read_dir(home.join("releases")).unwrap().count();
    assert_eq!(left, ODD.len() + 2, "and its own old releases: the link and the live one are left");
    assert!(!bench.area.path().join("pwned").exists() && !home.join("pwned").exists());
    for name in ODD {
        fs::remove_dir_all(home.join("releases").join(name)).unwrap();
    }
    fs::remove_file(home.join("releases").join(OLD)).unwrap();
    bench.site.assert_invariant(&Live::New(live));
}
