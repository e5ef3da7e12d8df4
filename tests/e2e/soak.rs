//! The looks during the soak, each address for itself: a wrong answer is final at once; one request without an answer
//! may be the way there, two in a row are not.

use std::path::Path;

use super::support::{App, Bench, Live, Make};

/// A look of the soak: later than all of those before it, and early in it.
const LATE: usize = 14;

/// A server that does `fault` (JavaScript) with the requests whose path and number `which` names.
fn faulty(version: &str, which: &[(&str, usize)], fault: &str) -> App {
    let app = App::server(version);
    let text = String::from_utf8(app.files()[Path::new("server.js")].clone()).unwrap();
    let mark = "const send = ";
    assert!(text.contains(mark));
    let list: Vec<String> = which.iter().map(|(path, n)| format!("{path} {n}")).collect();
    let count = format!(
        "const n = counts[request.url] = (counts[request.url] || 0) + 1;\n  if ({list:?}.includes(`${{request.url}} ${{n}}`)) {{ {fault} return; }}\n  "
    );
    app.file("server.js", format!("const counts = {{}};\n{}", text.replacen(mark, &(count + mark), 1)))
}

const SICK: &str = "response.statusCode = 500; response.end('for once');";
const CLOSED: &str = "request.socket.destroy();";

/// One worker, looked at by its own path and by an address beside it.
fn live() -> (Bench, String) {
    let mut bench = Make::pm2(1).bench();
    let url = format!("http://127.0.0.1:{}/", bench.host().port);
    bench.config.set("health.url", url).set("health.soak", "8s").set("health.interval", "250ms");
    let id = bench.release(&App::server("v0"));
    (bench, id)
}

#[test]
fn one_wrong_answer_is_final() {
    for path in ["/health", "/"] {
        let (bench, old) = live();
        let output = bench.deploy(&faulty("v1", &[(path, LATE)], SICK), &["--no-boot-test"]).expect(4);
        output.says(&["during the soak", "answers 500", "for once"]);
        bench.host().assert_live(&Live::Old(old), 1);
    }
}

#[test]
fn one_request_without_an_answer_is_forgiven_at_each_address() {
    let (bench, _) = live();
    let id = bench.release(&faulty("v1", &[("/health", LATE), ("/", LATE), ("/health", LATE + 2)], CLOSED));
    bench.host().assert_live(&Live::New(id), 1);
}

#[test]
fn two_in_a_row_are_not() {
    let (bench, old) = live();
    let which = [("/health", LATE), ("/health", LATE + 1)];
    bench
        .deploy(&faulty("v1", &which, CLOSED), &["--no-boot-test"])
        .expect(4)
        .says(&["during the soak", "nobody answers"]);
    bench.host().assert_live(&Live::Old(old), 1);
}
