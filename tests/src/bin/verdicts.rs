//! Judges recorded cases: JSON lines of cases on standard input, JSON lines of verdicts on standard output. Ends with 70
//! when the two ways of judging differ.

use std::io::{BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let judge: fn(&str) -> Result<(String, bool), String> = match args.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        ["cilium"] => tests::verdicts::cilium::line,
        _ => {
            eprintln!("usage: verdicts cilium < cases.jsonl > verdicts.jsonl");
            return ExitCode::from(2);
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut agreed = true;
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let judged = line.map_err(|error| error.to_string()).and_then(|line| judge(&line));
        let written = judged.and_then(|(text, same)| {
            agreed &= same;
            writeln!(out, "{text}").map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            eprintln!("line {}: {error}", number + 1);
            return ExitCode::from(3);
        }
    }
    if let Err(error) = out.flush() {
        eprintln!("{error}");
        return ExitCode::from(4);
    }
    if agreed { ExitCode::SUCCESS } else { ExitCode::from(70) }
}
