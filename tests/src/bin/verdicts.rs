//! Answers recorded cases, by packet sets and by traces: `verdicts calico < cases.jsonl > verdicts.jsonl`.
//!
//! Exit codes: 2 usage, 3 a case that cannot be read, 4 input or output, 70 the two ways differ.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use tests::verdicts::calico;

/// What ends the run.
enum Failure {
    Io(io::Error),
    Case(usize, String),
    Differ(usize, String),
}

fn main() -> ExitCode {
    let engine = std::env::args().nth(1);
    let answer: Answerer = match engine.as_deref() {
        Some("calico") => calico_answer,
        _ => {
            eprintln!("usage: verdicts calico < cases.jsonl > verdicts.jsonl");
            return ExitCode::from(2);
        }
    };
    let (code, message) = match run(answer) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Case(line, error)) => (3, format!("line {line}: {error}")),
        Err(Failure::Io(error)) => (4, error.to_string()),
        Err(Failure::Differ(line, error)) => (70, format!("line {line}: {error}")),
    };
    eprintln!("verdicts: {message}");
    ExitCode::from(code)
}

/// Answers the case of a line, whose number is given for messages.
type Answerer = fn(usize, &str) -> Result<String, Failure>;

fn run(answer: Answerer) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (index, line) in io::stdin().lock().lines().enumerate() {
        let answer = answer(index + 1, &line.map_err(Failure::Io)?)?;
        writeln!(out, "{answer}").map_err(Failure::Io)?;
    }
    out.flush().map_err(Failure::Io)
}

fn calico_answer(line: usize, text: &str) -> Result<String, Failure> {
    let fail = |error: serde_json::Error| Failure::Case(line, error.to_string());
    let case: calico::Case = serde_json::from_str(text).map_err(fail)?;
    let answer = case.answer().map_err(|error| match error {
        calico::CaseError::Differ { .. } => Failure::Differ(line, error.to_string()),
        _ => Failure::Case(line, error.to_string()),
    })?;
    serde_json::to_string(&answer).map_err(fail)
}
