//! What a release brings that only some machine runs, made by real compilers: refused before a byte is sent, by name, with
//! what the host is and the way out; and shipped where somebody insists.

use std::path::Path;
use std::process::Command;

use super::support::{App, Bench, Live, Make};

/// Compiles C into `file` of `dir`; its content.
fn compile(dir: &Path, compiler: &str, file: &str, args: &[&str], code: &str) -> Vec<u8> {
    std::fs::write(dir.join("in.c"), code).unwrap();
    let mut command = Command::new(compiler);
    command.current_dir(dir).args(["in.c", "-o", file]).args(args);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler}: {error}: use tests/run"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(dir.join(file)).unwrap()
}

/// A library that needs a glibc of the far future.
fn of_tomorrow(dir: &Path) -> Vec<u8> {
    std::fs::write(dir.join("map"), "GLIBC_2.99 { global: future; };").unwrap();
    let library = ["-shared", "-nostdlib", "-Wl,--version-script=map", "-Wl,-soname,libc.so.6"];
    compile(dir, "cc", "libc.so.6", &library, "int future(void) { return 0; }");
    let needs = ["-shared", "-nostdlib", "./libc.so.6"];
    compile(dir, "cc", "needs.so", &needs, "int future(void); int now(void) { return future(); }")
}

/// The header of a 64-bit program or library of another processor.
fn header(machine: u8) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[18] = machine;
    file
}

/// A deploy of `app` is refused with these words, and nothing has come to the host.
#[track_caller]
fn refused(bench: &Bench, live: &str, app: &App, words: &[&str]) {
    let output = bench.deploy(app, &[]).expect(1);
    let text = format!("{}{}", output.stdout, output.stderr);
    words.iter().for_each(|word| assert!(text.contains(word), "{word}\n{output}"));
    assert!(text.contains("--allow mismatch") && !text.contains("\"receive\""), "{output}");
    assert_eq!(bench.site().releases(), [live], "nothing was sent");
}

#[test]
fn what_another_machine_was_meant_for_is_refused_by_name() {
    let bench = Make::pm2(1).bench();
    let live = bench.release(&App::server("v1"));
    let folder = tempfile::tempdir().unwrap();
    let make = |compiler, file, args: &[&str], code| compile(folder.path(), compiler, file, args, code);
    let (code, main) = ("int it(void) { return 1; }", "int main(void) { return 0; }");
    let of_node_14 = "int node_register_module_v83(void) { return 0; }";
    let fits = App::server("v2")
        .file("lib/own.node", make("cc", "own.node", &["-shared"], code))
        .program("bin/own", make("cc", "own", &[], main))
        .program("bin/static", make("musl-gcc", "static", &["-static"], main))
        .file("lib/no.so.1", "no library at all")
        .file("lib/cut.so", &b"\x7fELF\x02"[..]);

    let musl = "was built for musl (Alpine), the host has glibc";
    let cases: [(&str, Vec<u8>, &[&str]); 5] = [
        ("lib/it.so.3", make("musl-gcc", "it.so", &["-shared"], code), &[musl, "build.exclude"]),
        ("node_modules/x/it.node", of_tomorrow(folder.path()), &["needs glibc 2.99, the host has 2.", "--libc=glibc"]),
        ("lib/it.node", header(22), &["was built for s390x, the host is "]),
        (
            "lib/it.dylib",
            b"\xca\xfe\xba\xbe\0\0\0\x01\x01\0\0\x0c".to_vec(),
            &["was built for macOS, the host runs Linux"],
        ),
        (
            "lib/old.node",
            make("cc", "old.node", &["-shared"], of_node_14),
            &["was built for node 14, the host has node "],
        ),
    ];
    let mut all = fits.clone();
    for (path, content, words) in cases {
        let named = format!("`{path}` ");
        refused(&bench, &live, &fits.clone().file(path, content.clone()), &[&[&*named], words].concat());
        all = all.file(path, content);
    }
    // A look says it in the same words; where a build comes first, of what the last one left.
    let words = ["machine", "`lib/old.node` was built for node 14"];
    bench.run("check", &[]).expect(1).says(&words).says(&["refuses"]);
    let program = fits.clone().program("bin/it", make("musl-gcc", "it", &[], main));
    refused(&bench, &live, &program, &["`bin/it` ", musl]);
    let asks = fits.clone().file("package.json", r#"{"dependencies":{"sharp":"1"}}"#);
    let asks = asks.file("node_modules/sharp/package.json", "{}");
    refused(
        &bench,
        &live,
        &asks,
        &["`package.json` asks for sharp", "no build of sharp for Linux", "--cpu=", "sharp; "],
    );

    let output = bench.deploy(&all, &["--allow", "mismatch"]).expect(0);
    // What differs by its ending alone is one thing in several forms.
    assert_eq!(output.stdout.matches("allowed: ").count(), 3, "{output}");
    let id = bench.release(&fits);
    bench.host().assert_live(&Live::New(id), 1);
}
