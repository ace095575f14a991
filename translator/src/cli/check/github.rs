//! A judgement as commands of GitHub's workflows: one line for each problem, and one for all that was taken for granted.
//!
//! Escapes are those of the runner (actions/toolkit:packages/core/src/command.ts).

use super::Report;
use super::problems::{Remarks, problems};
use crate::cli::Exit;

pub(super) fn print(report: &Report) -> Exit {
    crate::cli::print(&lines(report))
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    for problem in problems(report) {
        let place = problem.region.map(|region| {
            let end = region.end.map(|end| format!(",endColumn={end}")).unwrap_or_default();
            format!("file={},line={},col={}{end},", property(&region.file), region.line, region.column)
        });
        let (place, title) = (place.unwrap_or_default(), property(&problem.code));
        text.push_str(&format!("::error {place}title={title}::{}\n", data(&problem.message)));
    }
    let Remarks { broken, missing, assumed } = Remarks::of(&report.judgement);
    for cut in broken {
        text.push_str(&format!("::warning title=cut already::{}\n", data(&cut)));
    }
    // GitHub shows ten notices of a step.
    for (title, lines) in [(Remarks::MISSING, missing), (Remarks::ASSUMED, assumed)] {
        if !lines.is_empty() {
            text.push_str(&format!("::notice title={}::{}\n", property(title), data(&lines.join("\n"))));
        }
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        assert_eq!(data("100 % of\r\nnodes: a, b"), "100 %25 of%0D%0Anodes: a, b");
        assert_eq!(property("a,b:c%"), "a%2Cb%3Ac%25");
    }
}
