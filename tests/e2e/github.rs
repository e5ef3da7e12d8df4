//! A job of GitHub Actions, as its runner would hear it: commands, groups, annotations, masks, summary, outputs; and
//! text from a host or a build that tries to be a command.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::shipit::{Output, Shipit};
use super::support::{App, Bad, Bench, Live, Make};

/// The bench's binary in a job, and the files that the runner names.
fn job(bench: &Bench) -> (Shipit, PathBuf, PathBuf) {
    let (summary, outputs) = (bench.area.path().join("summary.md"), bench.area.path().join("outputs"));
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let shipit = bench.shipit.env("GITHUB_ACTIONS", "true").env("CI", "true");
    let shipit = shipit.env("GITHUB_STEP_SUMMARY", &path(&summary)).env("GITHUB_OUTPUT", &path(&outputs));
    (shipit.env("GITHUB_WORKSPACE", &path(&bench.project)), summary, outputs)
}

/// What the runner takes for a command, in both spellings: after leading blanks, and anywhere in a line.
fn commands(output: &Output) -> Vec<String> {
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(!said.contains("##["), "{said}");
    said.lines().filter(|line| line.trim_start().starts_with("::")).map(str::to_owned).collect()
}

#[test]
fn a_good_run_has_groups_a_summary_and_outputs() {
    let mut bench = Make::files().hosts(2).bench();
    bench.config.set("build.command", "echo '::error::injected by a build'; echo '##[add-mask]x'; echo ${TOKEN_OF_US}");
    bench.config.set("secrets", vec!["TOKEN_OF_US".to_owned()]);
    bench.write(&App::site("v1"));
    let (shipit, summary, outputs) = job(&bench);
    let secret = "correct%horse";
    let output = shipit.env("TOKEN_OF_US", secret).run(&["deploy", "production"]).expect(0);
    let commands = commands(&output);
    assert_eq!(commands[0], "::add-mask::correct%25horse", "{output}");
    assert_eq!(commands[1..], ["::group::build", "::endgroup::"], "{output}");
    assert_eq!(output.stderr.matches(secret).count(), 0, "{output}");
    assert!(output.stderr.contains("  : :error::injected by a build"), "{output}");
    let id = bench.site().current().unwrap();
    assert_eq!(fs::read_to_string(outputs).unwrap(), format!("release={id}\nprevious=\nstate=released\n"));
    let page = fs::read_to_string(summary).unwrap();
    assert!(page.starts_with("### deploy tiny (production)\n- release `"), "{page}");
    assert!(page.contains("|  | build | package | connect |") || page.contains("|  | connect | build |"), "{page}");
    assert!(page.contains("\n| here | ") && page.contains("\n| a | ") && page.contains("\n| b | "), "{page}");
}

#[test]
fn a_failed_run_is_annotated_and_its_summary_says_what_happened() {
    let mut bench = Make::pm2(1).bench();
    bench.config.set("health.soak", "1s");
    let live = bench.release(&App::server("good"));
    let (shipit, summary, outputs) = job(&bench);
    let bad = "console.error('::set-output name=release::stolen');console.error('##[error]stolen');\
        setTimeout(() => process.exit(1), 500);";
    bench.write(&App::bad("bad", Bad::ExitsAtOnce).file("server.js", bad));
    let output = shipit.run(&["deploy", "production", "--no-boot-test"]).expect(4);
    let commands = commands(&output);
    let error = commands.iter().find(|line| line.starts_with("::error ")).unwrap_or_else(|| panic!("{output}"));
    assert!(error.starts_with("::error title=deploy tiny (production)%3A "), "{error}");
    assert!(error.contains("::a: activate failed: "), "{error}");
    assert!(commands.iter().all(|line| !line.contains("stolen")), "{output}");
    assert!(output.stderr.contains("now: ") && output.stderr.contains("next: "), "{output}");
    let outputs = fs::read_to_string(outputs).unwrap();
    assert!(outputs.ends_with(&format!("\nprevious={live}\nstate=reverted\n")), "{outputs}");
    let page = fs::read_to_string(summary).unwrap();
    assert!(page.contains("**Failed.** ") && page.contains("**failed** after "), "{page}");
    assert!(page.contains("stolen") && page.contains("```text\n"), "the log is there, as text: {page}");
    bench.host().assert_live(&Live::Old(live), 1);
}

#[test]
fn a_mistake_in_the_config_is_annotated_at_its_place() {
    let mut bench = Make::files().bench();
    bench.config.set("build.comand", "x");
    bench.write(&App::site("v1"));
    let (shipit, summary, outputs) = job(&bench);
    let output = shipit.run(&["deploy", "production"]).expect(2);
    let text = fs::read_to_string(bench.project.join("deploy.toml")).unwrap();
    let line = text.lines().position(|line| line.starts_with("comand")).unwrap() + 1;
    let place = format!("::error file=deploy.toml,line={line},endLine={line},col=1,endColumn=6::`build.comand` is not");
    assert!(commands(&output).iter().any(|command| command.starts_with(&place)), "{place}\n{output}");
    assert!(output.stderr.contains("^^^^^^ did you mean `command`?"), "{output}");
    assert_eq!(fs::read_to_string(outputs).unwrap(), "release=\nprevious=\nstate=untouched\n");
    assert!(fs::read_to_string(summary).unwrap().contains("did you mean `command`?"));
}

#[test]
fn json_stays_json() {
    let bench = Make::files().bench();
    bench.write(&App::site("v1"));
    let (shipit, summary, _) = job(&bench);
    let output = shipit.run(&["deploy", "production", "--json"]).expect(0);
    assert!(commands(&output).is_empty() && !summary.exists(), "{output}");
}
