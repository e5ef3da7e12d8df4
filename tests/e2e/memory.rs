//! How much memory shipit itself takes for large artifacts: at most 200 MB for 2 GB or 100,000 files.

use std::fs;
use std::path::Path;

use super::support::area::Area;
use super::support::shipit::Shipit;

/// In KB.
const MOST: u64 = 200_000;

fn project(area: &Area) -> Shipit {
    let project = area.dir("project");
    fs::create_dir(project.join("dist")).unwrap();
    let text = "app = \"large\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n[stages.x]\nhosts = [\"local\"]\npath = \"../live\"\n";
    fs::write(project.join("deploy.toml"), text).unwrap();
    Shipit::new(&project, area.path())
}

/// What a deploy takes, and what it said of what it sent.
fn weigh(shipit: &Shipit, args: &[&str]) -> (u64, String) {
    let (output, most) = shipit.spawn(args).weigh();
    let output = output.expect(0);
    assert!(most > 5_000, "{most} KB is no program's memory");
    (most, format!("{}{}", output.stdout, output.stderr))
}

/// Names as packages have them.
fn fill(dist: &Path, files: usize) {
    for n in 0..files {
        let folder = dist.join(format!("a-package-with-a-name-{}/lib/deep", n / 250));
        if n % 250 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("a-module-of-it-{n}.js")), n.to_string()).unwrap();
    }
}

/// What 100,000 files take, by what 5,000 and 25,000 do: the whole number would take minutes on a small machine. What
/// does not grow with files is part of both: a file that fills what the compression works in travels each time.
#[test]
fn many_files_need_little_memory() {
    let area = Area::new();
    let shipit = project(&area);
    let dist = area.path().join("project/dist");
    let runs = |files: u64| {
        fill(&dist, usize::try_from(files).unwrap());
        let hole = |more: u64| fs::File::create(dist.join("hole")).unwrap().set_len((96 << 20) + files + more).unwrap();
        hole(0);
        let (first, _) = weigh(&shipit, &["deploy"]);
        hole(1);
        let (diff, _) = weigh(&shipit, &["diff"]);
        shipit.run(&["build", "-o", "../large.tar.zst"]).expect(0);
        let (again, said) = weigh(&shipit, &["deploy", "--artifact", "../large.tar.zst"]);
        assert!(said.contains(&format!("{files} of {} files reused", files + 2)), "{said}");
        [("a deploy", first), ("diff", diff), ("a file that is reused", again)]
    };
    // Taken three times where that is not enough: what a process touches of its buffers is chance, and counts five times here.
    let mut least = [u64::MAX; 3];
    for _ in 0..3 {
        let grown = runs(5_000).into_iter().zip(runs(25_000));
        for (least, ((_, few), (_, many))) in least.iter_mut().zip(grown) {
            *least = (*least).min(many + many.saturating_sub(few) * 75_000 / 20_000);
        }
        if least.iter().all(|all| *all < MOST) {
            return;
        }
        fs::remove_dir_all(&dist).unwrap();
        fs::create_dir(&dist).unwrap();
    }
    panic!("a deploy, diff and a file that is reused take {least:?} KB for 100,000 files");
}

/// Beside it there is a small file, so that the second deploy has something to send.
#[test]
fn a_large_file_needs_little_memory() {
    let area = Area::new();
    let shipit = project(&area);
    let dist = area.path().join("project/dist");
    // A hole takes no space here, and is content like any other to who reads it.
    fs::File::create(dist.join("hole")).unwrap().set_len(2 << 30).unwrap();
    let (first, _) = weigh(&shipit, &["deploy"]);
    fs::write(dist.join("small"), "new").unwrap();
    let (again, said) = weigh(&shipit, &["deploy"]);
    assert!(said.contains("1 of 3 files reused"), "{said}");
    assert!(first.max(again) < MOST, "{first} KB, {again} KB");
}
