//! Answers cases by packet sets and by traces: `verdicts calico|cilium < cases.jsonl > verdicts.jsonl`.
//!
//! Exit codes: 2 usage, 3 a line that is no case, 4 input or output, 70 the two ways differ.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use tests::verdicts::{LineError, calico, cilium};

/// Answers one case.
type Answer = fn(&str) -> Result<String, LineError>;

fn main() -> ExitCode {
    let engine: Vec<String> = std::env::args().skip(1).collect();
    let answer: Answer = match engine.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["calico"] => calico::line,
        ["cilium"] => cilium::line,
        _ => {
            eprintln!("usage: verdicts calico|cilium < cases.jsonl > verdicts.jsonl");
            return ExitCode::from(2);
        }
    };
    match run(answer) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("verdicts: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(answer: Answer) -> io::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (index, line) in io::stdin().lock().lines().enumerate() {
        match answer(&line?) {
            Ok(text) => writeln!(out, "{text}")?,
            Err(error) => {
                out.flush()?;
                eprintln!("verdicts: line {}: {error}", index + 1);
                return Ok(ExitCode::from(match error {
                    LineError::Case(_) => 3,
                    LineError::Differ(_) => 70,
                }));
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
