//! Parse, run, print an error, exit. Nothing else.

use std::process::ExitCode;

use clap::Parser;
use shipit::cli::Cli;
use shipit::error::Error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only one of the TLS libraries is built in, so this can't fail for having been done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            eprintln!("shipit: the system gives us no event loop: {source}");
            return ExitCode::from(1);
        }
    };
    let json = cli.global.json;
    let ended = runtime.block_on(shipit::command::run(cli));
    // A thread that still reads a frozen file or writes to a full pipe must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&error, json);
            ExitCode::from(error.exit_code())
        }
    }
}

/// An error that came before any run began.
fn report(error: &Error, json: bool) {
    if json {
        let (code, hint) = (error.exit_code(), error.hint());
        let value = serde_json::json!({"event": "ended", "code": code, "error": error.to_string(), "hint": hint});
        println!("{value}");
    }
    shipit::report::error(error);
}
