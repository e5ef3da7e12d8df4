//! Rights, umasks and mounts as servers have them: a table of what a deploy says to each, and its exit code. Each row is made
//! on a machine apart, by root there, and unmade again; what is refused is refused before anything is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::account::Account;
use super::support::{App, Bench, Live, Make};

/// One state of the host: how root makes it (`SRV`, `HOME`, `ME`, `OTHER` are set) and unmakes it.
struct Row {
    what: &'static str,
    make: &'static str,
    unmake: &'static str,
    code: i32,
    says: &'static [&'static str],
}

/// `umount -l`: what a run removes when it is over may still be at it.
const ROWS: [Row; 15] = [
    Row {
        what: "umask 077",
        make: "echo 'umask 077' >$HOME/.bashrc",
        unmake: "rm $HOME/.bashrc",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "umask 002",
        make: "echo 'umask 002' >$HOME/.bashrc",
        unmake: "rm $HOME/.bashrc",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "files of another account in shared/, which nobody else may read",
        make: "mkdir -p $SRV/shared/up/deep; echo precious >$SRV/shared/up/deep/x; chown -R $OTHER $SRV/shared/up; chmod 700 $SRV/shared/up/deep",
        unmake: ":",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "a shared folder that is to be made where another account owns shared/",
        make: "mv $SRV/shared/up $SRV/up.aside; chown $OTHER $SRV/shared",
        unmake: "chown $ME $SRV/shared; mv $SRV/up.aside $SRV/shared/up",
        code: 1,
        says: &["shared/up", "Permission denied", "chown shipit-a"],
    },
    Row {
        what: "path on another file system",
        make: "cp -a $SRV $SRV.aside; mount -t tmpfs -o size=64m tmpfs $SRV; cp -a $SRV.aside/. $SRV/; rm -r $SRV.aside; chown $ME $SRV",
        unmake: "cp -a $SRV $SRV.aside; umount -l $SRV; rm -rf $SRV/* $SRV/.shipit; cp -a $SRV.aside/. $SRV/; rm -r $SRV.aside",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "shared/ on another file system",
        make: "cp -a $SRV/shared $SRV/s.aside; mount -t tmpfs -o size=16m tmpfs $SRV/shared; chown $ME $SRV/shared; mv $SRV/s.aside $SRV/.aside",
        unmake: "umount -l $SRV/shared; rm -r $SRV/.aside",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "releases/ on another file system",
        make: "mount -t tmpfs -o size=16m tmpfs $SRV/releases; chown $ME $SRV/releases",
        unmake: "umount -l $SRV/releases",
        code: 1,
        says: &["releases/ is a file system of its own", "mount"],
    },
    Row {
        what: "noexec on all that is written to",
        make: "mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp",
        unmake: "umount -l /tmp",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "a read-only home of the account",
        make: "mount --bind $HOME $HOME; mount -o remount,bind,ro $HOME",
        unmake: "umount -l $HOME",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "a read-only path",
        make: "mount --bind $SRV $SRV; mount -o remount,bind,ro $SRV",
        unmake: "umount -l $SRV",
        code: 1,
        says: &["its file system is read-only", "mount -o remount,rw"],
    },
    Row {
        what: "a path of another account",
        make: "chown $OTHER $SRV; chmod 755 $SRV",
        unmake: "chown $ME $SRV",
        code: 1,
        says: &["is not writable for shipit-a", "chown -R shipit-a"],
    },
    Row {
        what: "a path that may not be entered",
        make: "chown $OTHER $SRV; chmod 700 $SRV",
        unmake: "chmod 755 $SRV; chown $ME $SRV",
        code: 1,
        says: &["can't be entered by shipit-a", "chmod a+x"],
    },
    Row {
        what: "records of another account",
        make: "chown $OTHER $SRV/.shipit/records",
        unmake: "chown $ME $SRV/.shipit/records",
        code: 1,
        says: &["is not writable for shipit-a"],
    },
    Row {
        what: "hidepid, with nobody else's lock",
        make: "mount -t proc -o hidepid=2 proc /proc",
        unmake: "umount -l /proc",
        code: 0,
        says: &["is live"],
    },
    Row {
        what: "hidepid, with a lock of another account whose owner may not be looked at",
        make: "mount -t proc -o hidepid=2 proc /proc; boot=$(cat /proc/sys/kernel/random/boot_id); ns=$(readlink /proc/self/ns/pid | tr -dc 0-9); \
               ln -s 1:1:1:$boot:$ns:0123456789abcdef:20260321T140000Z:other@there $SRV/.shipit/lock.999; chown -h $OTHER $SRV/.shipit/lock.999",
        unmake: "rm $SRV/.shipit/lock.999; umount -l /proc",
        code: 3,
        says: &["locked by other@there", "shipit unlock"],
    },
];

/// Runs a line as root where the host's sessions run.
#[track_caller]
fn as_root(bench: &Bench, line: &str) {
    let host = bench.host();
    let mut command = host.sshd.command("sh");
    command.args(["-euc", line]).env("SRV", &host.site.dir).env("HOME", host.home());
    command.env("ME", host.account.uid.to_string()).env("OTHER", Account::b().uid.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn each_state_of_a_host_has_its_words_and_its_code() {
    let mut bench = Make::files().home().apart().bench();
    bench.config.set("shared.dirs", vec!["up".to_owned()]);
    let mut live = bench.release(&App::site("v0"));
    for (n, row) in ROWS.iter().enumerate() {
        as_root(&bench, row.make);
        bench.write(&App::site(&format!("v{}", n + 1)));
        // What a check says of it is what a deploy does.
        let check = bench.run("check", &[]);
        let output = bench.run("deploy", &[]);
        as_root(&bench, row.unmake);
        println!(
            "| {} | {} | {} |",
            row.what,
            row.code,
            output.stderr.lines().find(|l| l.starts_with("error") || l.starts_with("done")).unwrap_or_default()
        );
        let output = output.expect(row.code).says(row.says);
        if row.code == 0 {
            live = bench.site().current().unwrap();
            assert_eq!(
                bench.site().read("index.html"),
                format!("<!doctype html><title>v{}</title>", n + 1),
                "{}",
                row.what
            );
            assert_eq!(check.code, Some(0), "{}: {check}", row.what);
        } else {
            assert!(row.code == 3 || output.stderr.contains("not touched"), "{}\n{output}", row.what);
        }
        bench.site().assert_invariant(&Live::New(live.clone()));
        // Nothing ever hangs on the login's umask.
        let site = bench.site();
        let release = site.dir.join("releases").join(&live);
        assert_eq!((mode(&release), mode(&release.join("index.html"))), (0o755, 0o644), "{}", row.what);
        assert_eq!(
            (mode(&site.dir.join("releases")), mode(&site.dir.join(".shipit/records"))),
            (0o755, 0o755),
            "{}",
            row.what
        );
    }
    assert_eq!(fs::read_to_string(bench.site().dir.join("shared/up/deep/x")).unwrap(), "precious\n");
}

/// A home that a deploy makes is one that a web server may enter, whatever the login's umask.
#[test]
fn a_home_that_is_made_can_be_entered_by_who_serves_it() {
    let bench = Make::files().umask("077").path("srv/deep/blog").bench();
    let dir = bench.site().dir.clone();
    fs::remove_dir(&dir).unwrap();
    bench.host().account.own(dir.parent().unwrap());
    bench.release(&App::site("v1"));
    assert_eq!(mode(&dir), 0o755);
    let mut command = Account::b().command("cat");
    let output = command.arg(dir.join("current/index.html")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
