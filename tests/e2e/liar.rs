//! A host that is somebody else's by now, or out of its mind: over a real ssh connection it answers whatever it likes. The
//! client must come to an end by itself, stay small, print nothing that drives a terminal, write nothing but its own files,
//! and never say that a release is live which the host has not been told to commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::shipit::Output;
use super::support::{App, Bench, Make};

/// In KB: as much as a large release may take.
const MEMORY: u64 = 200_000;
/// Far above what any of these takes; a run that waits for an answer which never comes is ended by its own limits.
const LONGEST: Duration = Duration::from_secs(60);

/// Reads what the client sends and tells by it what was asked for; then the case has the word. No line of the client's is
/// run: the host is not ours.
const HOST: &str = r#"
read -r n
dd bs="$n" count=1 iflag=fullblock 2>/dev/null | gzip -dc >"$HOME/asked.$$"
kind=other
for pair in session:DRIVER receive:MANIFEST_SHA look:KEEP check:LINKS mark:WHY; do
  if grep -q "^${pair#*:}=" "$HOME/asked.$$"; then kind=${pair%:*}; break; fi
done
rm -f "$HOME/asked.$$"
echo "$kind" >>"$HOME/asked"
greet() {
  for tool in tar gzip zstd base64 sha256sum setsid timeout find; do echo "@fact $tool yes"; done
  printf '@fact user me\n@fact time 1800000000\n@fact arch x86_64\n@fact free_kb 99999999\n@fact free_inodes 9999999\n@facts\n'
}
lie=$(printf '\033[2J\033]0;t\007\r\302\233')
. "$HOME/says"
"#;

/// A machine whose account answers with `HOST`, whatever it is asked to run.
fn bench() -> Bench {
    let mut bench = Make::files().home().sshd("ForceCommand exec sh \"$HOME/host.sh\"").bench();
    bench.config.set("rollout.silence", "2s").set("secrets", vec!["KEY_OF_US".to_owned()]);
    bench.shipit = bench.shipit.env("KEY_OF_US", "correct-horse-battery");
    bench.write(&App::site("v1"));
    fs::write(bench.host().home().join("host.sh"), HOST).unwrap();
    bench
}

/// Everything that the client could write to.
fn files(bench: &Bench) -> BTreeMap<PathBuf, Vec<u8>> {
    let below =
        |dir: &Path| walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>();
    let all = [bench.project.clone(), bench.area.path().join("home")].map(|dir| below(&dir)).concat();
    all.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
}

fn drives(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}'))
}

/// The texts in a value for programs.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| [vec![key.clone()], texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

/// Has the host say this, asks, and judges what holds of every such run.
#[track_caller]
fn asked(bench: &Bench, says: &str, args: &[&str]) -> Output {
    fs::write(bench.host().home().join("says"), says).unwrap();
    let (before, began) = (files(bench), Instant::now());
    let (output, most) = bench.shipit.spawn(args).weigh();
    assert!(began.elapsed() < LONGEST, "{:?}: {says}\n{output}", began.elapsed());
    assert!(most < MEMORY, "{most} KB: {says}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.len() < 8 << 20, "{} bytes: {says}", said.len());
    assert!(!drives(&said), "{said:?}");
    assert!(!said.contains("correct-horse") && !said.contains("panicked"), "{output}");
    for value in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        assert!(texts(&value).iter().all(|text| !drives(text)), "{value}");
    }
    assert_eq!(files(bench), before, "{says}");
    assert!(matches!(output.code, Some(0..=5)), "{output}");
    output
}

#[test]
fn a_host_that_never_stops_or_says_nonsense_ends_a_deploy_untouched() {
    let bench = bench();
    let too_much = "was not listened to any longer";
    for (says, words) in [
        ("tr '\\000' x </dev/zero", &[too_much][..]),
        ("yes '@note again and again'", &[too_much]),
        ("yes '@pong idle'", &[too_much]),
        ("yes ''", &[too_much]),
        ("greet; yes \"@fact $$ x\"", &[]),
        ("while :; do head -c 200000 /dev/zero | tr '\\000' r | sed 's/^/@record /'; echo; done", &[too_much]),
        ("n=0; while :; do n=$((n + 1)); echo \"@dir $n\"; done & yes '@dir x'", &[too_much]),
        ("head -c 3000000 /dev/urandom", &["connect"]),
        ("exec >&-; sleep 1", &["connect"]),
        ("exec >&- 2>&-", &["connect"]),
        ("kill -9 $$", &["connect"]),
        ("printf '@refuse %s gone\\tcall %s' \"$lie\" \"$lie\"; echo; echo @bye refused", &["gone", "call"]),
        ("printf '@locked me%s@there 20260321T140000Z\\n' \"$lie\"", &["locked by me"]),
        ("printf '@stuck %s\\n@bye stuck\\n' \"$lie\"", &["could not be put right"]),
        ("echo \"$lie no protocol at all\"", &["no protocol at all"]),
        // Words out of turn: who says them has committed nothing.
        ("printf '@ready\\n@committed\\n@recorded\\n@bye end\\n'", &["connect"]),
        (
            "[ $kind = session ] || { echo '@done 1'; exit; }; greet; echo @told; echo @committed; echo @recorded; cat >/dev/null",
            &[],
        ),
        ("greet; echo @told; while read -r word; do echo '@committed'; done", &[]),
        (
            "[ $kind = session ] || { echo '@done 0'; exit; }; greet; echo @told; while read -r word; do echo '@bye end'; done",
            &[],
        ),
        (
            "[ $kind = session ] || { echo '@done 0'; exit; }; greet; echo @told; while read -r w; do case $w in ping) echo '@pong committed' ;; activate) echo '@committed' ;; esac; done",
            &[],
        ),
    ] {
        let output = asked(&bench, says, &["deploy", "production", "--json"]).says(words);
        assert_ne!(output.code, Some(0), "{says}\n{output}");
        let ended = output.events().pop().unwrap();
        assert_eq!(ended.kind(), "ended", "{output}");
    }
    assert!(fs::read_to_string(bench.host().home().join("asked")).unwrap().contains("session"), "it was asked");
}

#[test]
fn what_a_host_lists_is_text() {
    let bench = bench();
    let record = r#"{"id":"20260321-140000-k3f9","at":"2026-03-21T14:00:00Z","who":"WHO","commit":"LIE0123456789","branch":"LIE","artifact":"LIE","files":1,"bytes":1,"app_dir":"","shared":{"dirs":[],"files":[]},"service":{"kind":"none"},"health":{"path":null,"url":null,"from":"host","headers":{},"expect":{"status":200,"body":null,"json":{}},"timeout":{"secs":5,"nanos":0},"interval":{"secs":1,"nanos":0},"within":{"secs":LONG,"nanos":0},"successes":1,"soak":{"secs":6,"nanos":0},"assets":true},"previous":"LIE","state":"good","why":"LIE correct-horse-battery"}"#;
    let record = record.replace("WHO", "x\\u001b[31mcorrect-horse-battery").replace("LIE", "\\u001b]0;t\\u0007\\u202e");
    let worker = r#"{"name":"LIE","pm_id":0,"pid":1,"status":"LIE","release":"LIE","restarts":0,"uptime_ms":-9223372036854775808,"proof":"LIE correct-horse-battery","pinned":"LIE","mode":"LIE"}"#;
    let worker = worker.replace("LIE", "\\u001b[2J\\r");
    let says = |long: &str| {
        let record = record.replace("LONG", long);
        format!(
            "greet | sed '$d'; printf '@fact current 20260321-140000-k3f9\\n@dir 20260321-140000-k3f9\\n@dir 20260320-140000-k3f9\\n'\n\
             printf '@dir ../../%s\\n@dir -rf\\n@dir 99990101-000000-aaaa\\n@missing %s\\n@leftover pending %s\\n' \"$lie\" \"$lie\" \"$lie\"\n\
             printf '@lock dead me%s %s\\n@hold me%s %s %s\\n@warn %s\\n@fact node_file %s\\n@fact node %s\\n' \
             \"$lie\" \"$lie\" \"$lie\" \"$lie\" \"$lie\" \"$lie\" \"$lie\" \"$lie\"\n\
             printf '@drift changed %s\\n@fact drift told\\n@removed ../%s\\n@why %s\\n' \"$lie\" \"$lie\" \"$lie\"\n\
             cat <<'X'\n@record {record}\n@record {}\n@worker {worker}\n@worker {{\nX\necho @facts; echo '@done 0'; cat >/dev/null\n",
            record.replace("140000", "130000").replace("20260321", "20260320"),
        )
    };
    let honest = says("30");
    for verb in [
        &["status"][..],
        &["releases"],
        &["check"],
        &["diff"],
        &["cleanup", "-n"],
        &["deploy", "-n"],
        &["rollback", "-n"],
        &["unlock"],
        &["hold", "--lift"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = asked(&bench, &honest, &[verb, json].concat());
            assert!(!output.stdout.is_empty() || output.code != Some(0), "{verb:?}\n{output}");
        }
    }
    // It is the record that is shown, cleaned and masked.
    asked(&bench, &honest, &["releases"]).expect(0).says(&["x[31m***", "-rf is not shipit's and is left alone"]);
    // Times that no clock can be added to make a record none.
    asked(&bench, &says("18446744073709551615"), &["rollback", "production"]).says(&["can't be read"]);
    // Names that climb are no releases, from a host or from the command line.
    for name in ["../../x", "-rf", "..", "20260321-140000-k3f9/.."] {
        asked(&bench, &honest, &["rollback", "production", "--", name]).expect(2);
    }
}

#[test]
fn a_host_decides_nothing_for_another_one() {
    let mut bench = Make::files().hosts(2).bench();
    bench.config.set("service.command.start", "true").set("service.command.revert", "true");
    let first = bench.release(&App::site("v1"));
    bench.release(&App::site("v2"));
    let pwned = bench.area.dir("open").join("pwned");
    fs::set_permissions(pwned.parent().unwrap(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let record = bench.hosts[0].site.dir.join(format!(".shipit/records/{first}.json"));
    let text = fs::read_to_string(&record).unwrap();
    let changed = text.replace("\"start\":\"true\"", &format!("\"start\":\"touch {}\"", pwned.display()));
    assert_ne!(changed, text);
    fs::write(&record, changed).unwrap();
    bench.run("rollback", &[]).expect(1).says(&["on a and on b don't say the same", "--host a"]);
    assert!(!pwned.exists());
    bench.run("rollback", &[&first, "--host", "b"]).expect(0);
    assert!(!pwned.exists());
}
