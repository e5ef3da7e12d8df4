//! Names and values as an attacker or a careless colleague would choose them: they arrive byte for byte, and
//! nothing in them is ever run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::support::{App, Bench, Live, Make};

/// Every character that means something to a shell, a printf, a regular expression, tar or a line-based tool.
const ODD: &str =
    "a b'c\"d $(touch pwned) `touch pwned` \\n \\0101 %s *[x]? ; & | > #! ~ ü 日本 -rf\n--checkpoint\tend";

/// As a file's or directory's name, where it may hold no slash.
fn odd_names() -> Vec<PathBuf> {
    let mut names = vec![
        PathBuf::from(ODD),
        PathBuf::from("-rf"),
        PathBuf::from("--help"),
        PathBuf::from(" "),
        PathBuf::from("\n"),
        PathBuf::from("\\"),
        PathBuf::from("trailing\n"),
        PathBuf::from("[id]/(group)/@slot/$dollar"),
        PathBuf::from("ü/日本/🚀"),
        PathBuf::from(format!("deep/{}", "n".repeat(200))),
        PathBuf::from(format!("{}/x", ["y".repeat(90), "z".repeat(90), "w".repeat(90)].join("/"))),
    ];
    names.push(PathBuf::from(OsStr::from_bytes(b"not \xff utf-8")));
    names
}

#[track_caller]
fn nothing_was_run(bench: &Bench) {
    for dir in [bench.area.path(), &bench.host().account.home, Path::new("/tmp"), Path::new("/")] {
        assert!(!dir.join("pwned").exists(), "{}", dir.display());
    }
    for entry in walkdir::WalkDir::new(bench.area.path()) {
        assert_ne!(entry.unwrap().file_name(), "pwned");
    }
}

#[test]
fn file_names_and_link_texts_arrive_byte_for_byte() {
    let bench = Make::files().bench();
    let mut app = App::site("v1").folder("holds\nnothing");
    for (n, name) in odd_names().into_iter().enumerate() {
        let link = PathBuf::from(format!("links/{n}"));
        app = app.link(link, Path::new("..").join(&name)).file(name, format!("content {n}"));
    }
    let id = bench.release(&app);
    let site = bench.site();
    site.assert_invariant(&Live::New(id.clone()));
    for (name, content) in app.files() {
        assert_eq!(&fs::read(site.dir.join("current").join(name)).unwrap(), content, "{name:?}");
    }
    for (name, target) in app.links() {
        assert_eq!(&fs::read_link(site.dir.join("current").join(name)).unwrap(), target, "{name:?}");
    }
    assert!(site.dir.join("current/holds\nnothing").is_dir());
    nothing_was_run(&bench);

    // A rollback checks every file against the manifest once more, and finds one byte of difference.
    let second = bench.release(&App::site("v2"));
    bench.run("rollback", &[&id]).expect(0);
    bench.run("rollback", &[&second]).expect(0);
    fs::write(site.dir.join("releases").join(&id).join(ODD), "content X").unwrap();
    bench.run("rollback", &[&id]).expect(1);
    assert_eq!(site.current(), Some(second));
    nothing_was_run(&bench);
}

#[test]
fn a_deploy_path_may_hold_anything() {
    let bench = Make::files().path(ODD).bench();
    let first = bench.release(&App::site("v1"));
    bench.site().assert_invariant(&Live::New(first.clone()));
    let second = bench.release(&App::site("v2"));
    bench.site().assert_invariant(&Live::New(second));
    for verb in ["status", "releases", "recover"] {
        bench.run(verb, &[]).expect(0);
    }
    bench.run("rollback", &[]).expect(0);
    bench.site().assert_invariant(&Live::Old(first));
    bench.run("cleanup", &["--keep", "1"]).expect(0);
    nothing_was_run(&bench);
}

#[test]
fn a_server_in_such_a_path_goes_live() {
    let bench = Make::pm2(2).path("it's a \"path\" $(touch pwned) ü \\ %s").bench();
    for version in ["v1", "v2"] {
        let id = bench.release(&App::server(version));
        bench.host().assert_live(&Live::New(id), 2);
    }
    bench.run("rollback", &[]).expect(0);
    nothing_was_run(&bench);
}

#[test]
fn app_names_variables_and_arguments_arrive_byte_for_byte() {
    let name = "it's \"my\" app $(touch pwned) ü";
    let mut bench = Make::pm2(1).bench();
    bench
        .config
        .set("app", name)
        .set("service.pm2.env.ODD", ODD.replace("${", ""))
        .set("service.pm2.args", vec!["two words".to_owned(), "$(touch pwned)".to_owned(), "'\"".to_owned()])
        .set("shared.dirs", vec!["up loads $(touch pwned)'".to_owned()]);
    let server = r#"// Tells what reached it.
        const body = JSON.stringify({ status: "ok", odd: process.env.ODD, args: process.argv.slice(2), name: process.env.name });
        require("http").createServer((request, response) => response.end(body)).listen(process.env.PORT, "127.0.0.1");"#;
    let id = bench.release(&App::empty().file("server.js", server));
    bench.site().assert_invariant(&Live::New(id.clone()));
    let (status, body) = bench.host().get("/health");
    assert_eq!(status, 200);
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["odd"], ODD, "{told}");
    assert_eq!(told["args"], serde_json::json!(["two words", "$(touch pwned)", "'\""]), "{told}");
    let workers = bench.host().pm2.as_ref().unwrap().workers(name);
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].release, Some(id));
    assert!(bench.site().dir.join("shared/up loads $(touch pwned)'").is_dir());
    bench.release(&App::empty().file("server.js", server));
    bench.run("rollback", &[]).expect(0);
    nothing_was_run(&bench);
}

#[test]
fn what_a_host_says_can_not_drive_the_terminal_or_show_a_secret() {
    let mut bench = Make::pm2(1).bench();
    bench.config.set("secrets", vec!["TOKEN".to_owned()]);
    bench.shipit = bench.shipit.env("TOKEN", "correct-horse-battery");
    let server =
        "console.log('\\x1b[2J\\x07 correct-horse-battery'); console.error('\\x1b]0;title\\x07'); process.exit(1);";
    bench.write(&App::empty().file("server.js", server));
    let output = bench.run("deploy", &["-v", "--no-boot-test"]).expect(4);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
    assert!(!said.contains("correct-horse-battery"), "{said}");
}
