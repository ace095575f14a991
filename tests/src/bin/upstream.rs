//! Builds every upstream part that is not built yet and prints where it is. With the argument `vet` it checks our own
//! Go sources instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => tests::upstream::build_all().map(|directories| {
            for directory in directories {
                println!("{}", directory.display());
            }
        }),
        ["vet"] => tests::upstream::vet(),
        _ => {
            eprintln!("usage: upstream [vet]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
