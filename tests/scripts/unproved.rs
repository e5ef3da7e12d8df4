//! Looking while a tool of the host fails: what is damaged never passes for whole, and what is live never for absent.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, Shell};
use crate::support::apps::App;

super::in_every_shell! {
    what_is_damaged_never_passes_whichever_tool_fails
    what_is_live_is_told_or_said_to_be_unreadable
}

/// The tools that take part; the shell's own words can't fail alone.
const TOOLS: [&str; 10] = ["grep", "sed", "awk", "tr", "xargs", "openssl", "sha256sum", "cat", "cut", "readlink"];

/// One damage, its path, and what undoes it.
const DAMAGES: [(&str, &str); 4] = [
    ("plain", "echo other >plain"),
    ("new\\nline", "echo other >\"$(printf 'new\\nline')\""),
    ("dir", "rmdir dir"),
    ("link", "ln -sfn elsewhere link"),
];

const CHECK: &str = r#"T=/nowhere; . "$0/lib.sh"; . "$0/verify.sh"; verify_tree "$1/tree" "$1/manifest""#;

/// Stands before a tool: its call number N fails without a word.
const FAILS: &str = r#"#!SHELL
n=0
while ! mkdir "DIR/calls/$n" 2>/dev/null; do n=$((n + 1)); done
[ "$n" != NUMBER ] || exit 1
exec REAL "$@"
"#;

/// The answer, and whether the tool was called so often.
fn ask(bench: &Bench, tool: &str, number: usize) -> (String, bool, bool) {
    let dir = bench.area.path();
    let (failing, calls) = (dir.join("failing"), dir.join("calls"));
    for made in [&failing, &calls] {
        let _ = fs::remove_dir_all(made);
        fs::create_dir(made).unwrap();
    }
    let (own, shell) = (bench.shell == Shell::Busybox, bench.shell.program());
    let real = match own {
        true => Some(format!("{} {tool}", shell.display())).filter(|_| bench.tools.join(tool).exists()),
        false => ["/usr/bin", "/bin"]
            .map(|dir| Path::new(dir).join(tool))
            .into_iter()
            .find(|file| file.exists())
            .map(|file| file.display().to_string()),
    };
    let Some(real) = real else { return (String::new(), false, false) };
    let text = FAILS
        .replace("SHELL", "/bin/dash")
        .replace("DIR", &dir.display().to_string())
        .replace("NUMBER", &number.to_string())
        .replace("REAL", &real);
    fs::write(failing.join(tool), text).unwrap();
    fs::set_permissions(failing.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    let rest = if own { bench.tools.display().to_string() } else { "/usr/bin:/bin".to_owned() };
    let mut command = Command::new(&shell);
    command.args(own.then_some("sh")).args(["-c", CHECK]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote"));
    // The stand-in's own tool has to be found as well.
    let path = format!("{}:{rest}:/usr/bin", failing.display());
    let output = command.arg(dir).env_clear().env("PATH", path).current_dir(dir).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (told, output.status.success(), calls.join(number.to_string()).exists())
}

fn what_is_damaged_never_passes_whichever_tool_fails(bench: &mut Bench) {
    let dir = bench.area.path().to_owned();
    let tree = dir.join("tree");
    let make = || {
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(tree.join("plain"), "as sent\n").unwrap();
        fs::write(tree.join("another"), "as sent\n").unwrap();
        fs::write(tree.join("new\nline"), "as sent\n").unwrap();
        symlink("plain", tree.join("link")).unwrap();
    };
    make();
    let sum = Command::new("sha256sum").arg(tree.join("plain")).output().unwrap().stdout;
    let sum = String::from_utf8_lossy(&sum[..64]).into_owned();
    let manifest = format!(
        "f 0644 8 {sum} another\nd 0755 - - dir\nl - - - link\tplain\nf 0644 8 {sum} new\\nline\nf 0644 8 {sum} plain\n"
    );
    fs::write(dir.join("manifest"), manifest).unwrap();
    assert_eq!(ask(bench, "grep", 99), (String::new(), true, false), "a whole tree is whole");
    let mut failed = 0;
    for (path, damage) in DAMAGES {
        make();
        assert!(Command::new("sh").args(["-c", damage]).current_dir(&tree).status().unwrap().success());
        assert_eq!(ask(bench, "grep", 99).0, format!("bad {path}\n"));
        for tool in TOOLS {
            for number in 0..20 {
                let (told, ended_well, called) = ask(bench, tool, number);
                if !called {
                    break;
                }
                failed += 1;
                assert!(
                    !told.is_empty() || !ended_well,
                    "{path} is damaged, {tool} failed at call {number}, and all is well"
                );
            }
        }
    }
    assert!(failed > 40, "the tools are called: {failed}");
}

fn what_is_live_is_told_or_said_to_be_unreadable(bench: &mut Bench) {
    let live = bench.release(&App::site("v1"));
    let mut unread = 0;
    for number in 0..6 {
        let calls = bench.area.dir(&format!("calls-{number}"));
        let count = format!("n=0; while ! mkdir '{}'/$n 2>/dev/null; do n=$((n + 1)); done", calls.display());
        let fails = format!("case $1 in current) {count}; [ $n != {number} ] || exit 1 ;; esac; exec REAL \"$@\"");
        bench.shadow("readlink", &fails);
        let seen = bench.run("status", &["--json"]).expect(0).json();
        let host = &seen["hosts"][0];
        if host["current"] != *live {
            unread += 1;
            assert!(host["findings"].to_string().contains("current can't be read"), "call {number}: {seen}");
        }
    }
    assert!(unread < 2, "it is read once: {unread}");
}
