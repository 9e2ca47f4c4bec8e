//! Command-line program of the compiler. All code is in the library.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gwc::report_bugs();
    let ended = std::panic::catch_unwind(|| gwc::cli::run(std::env::args_os()));
    std::process::ExitCode::from(ended.unwrap_or(model::exit::Exit::BUG).0)
}
