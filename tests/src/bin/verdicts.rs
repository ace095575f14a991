//! Answers recorded cases: `verdicts calico < cases.jsonl > verdicts.jsonl`.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use tests::verdicts::calico;

fn main() -> ExitCode {
    let engine = std::env::args().nth(1);
    let answer = match engine.as_deref() {
        Some("calico") => calico_answer,
        _ => {
            eprintln!("usage: verdicts calico < cases.jsonl > verdicts.jsonl");
            return ExitCode::from(2);
        }
    };
    match run(answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verdicts: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(answer: fn(&str) -> Result<String, String>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (index, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        let answer = answer(&line).map_err(|error| io::Error::other(format!("line {}: {error}", index + 1)))?;
        writeln!(out, "{answer}")?;
    }
    out.flush()
}

fn calico_answer(line: &str) -> Result<String, String> {
    let case: calico::Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let answer = case.answer().map_err(|error| error.to_string())?;
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}
