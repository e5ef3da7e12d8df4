//! Parse, run, print an error, exit. Nothing else.

use std::process::ExitCode;

use clap::Parser;
use shipit::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only one of the TLS libraries is built in, so this can't fail for having been done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    shipit::transport::allow_many_files();
    // Pings are tasks: what takes its time here, for each of many hosts, must not make them late. A host would take that for
    // silence.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            eprintln!("shipit: the system gives us no event loop: {source}");
            return ExitCode::from(1);
        }
    };
    let global = cli.global.clone();
    let ended = runtime.block_on(shipit::command::run(cli));
    // A thread that still reads a frozen file or writes to a full pipe must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            shipit::report::refused(shipit::command::reporter(&global), &error);
            ExitCode::from(error.exit_code())
        }
    }
}
