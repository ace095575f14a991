//! A judgement as SARIF 2.1.0 (OASIS), which code hosts show beside the lines of a change.

use serde::Serialize;

use super::Report;
use super::problems::{Problem, Region, Remarks, problems};
use crate::cli::Exit;
use crate::finding::codes;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    column_kind: &'static str,
    results: Vec<Found>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    short_description: Message,
    full_description: Message,
    help: Message,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Message {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    /// What is to be known besides results.
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    rule_id: String,
    rule_index: usize,
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Part,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    start_line: usize,
    start_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<usize>,
}

pub(super) fn print(report: &Report) -> Exit {
    crate::cli::print_json(&log(report))
}

fn log(report: &Report) -> Log {
    let problems = problems(report);
    let mut rules: Vec<Rule> = Vec::new();
    let results = problems.into_iter().map(|problem| {
        let known = rules.iter().position(|rule| rule.id == problem.code);
        let index = known.unwrap_or_else(|| {
            rules.push(rule(&problem));
            rules.len() - 1
        });
        result(problem, index)
    });
    let results = results.collect();
    let driver = Driver {
        name: "translate",
        semantic_version: env!("CARGO_PKG_VERSION"),
        information_uri: env!("CARGO_PKG_REPOSITORY"),
        rules,
    };
    let Remarks { broken, missing, assumed } = Remarks::of(&report.judgement);
    let notifications = [
        ("warning", Remarks::BROKEN, broken),
        ("warning", Remarks::MISSING, missing),
        ("note", Remarks::ASSUMED, assumed),
    ];
    let notifications = notifications.into_iter().flat_map(|(level, title, lines)| {
        lines.into_iter().map(move |line| Notification { level, message: plain(format!("{title}: {line}")) })
    });
    let invocations =
        [Invocation { execution_successful: true, tool_execution_notifications: notifications.collect() }];
    let run = Run { tool: Tool { driver }, invocations, column_kind: "unicodeCodePoints", results };
    Log { schema: SCHEMA, version: "2.1.0", runs: [run] }
}

fn plain(text: String) -> Message {
    Message { text, markdown: None }
}

fn rule(problem: &Problem) -> Rule {
    let (short, full, help) = match codes::find(&problem.code) {
        Some(code) => {
            let markdown = format!(
                "{}\n\n**Example**\n\n```\n{}\n```\n\n**What to do**\n\n{}",
                code.explanation, code.example, code.fix
            );
            let text = format!("{}\n\nExample\n\n{}\n\nWhat to do\n\n{}", code.explanation, code.example, code.fix);
            (code.title.to_owned(), code.explanation.to_owned(), Message { text, markdown: Some(markdown) })
        }
        // A lifeline that a configuration adds; what breaks without it is in the message.
        None => {
            let name = problem.lifeline.clone().unwrap_or_default();
            let title = format!("the lifeline {name}, which the configuration adds, is cut");
            let full = format!("{title}: packets of it that pass now would no longer pass.");
            (title, full.clone(), plain(full))
        }
    };
    Rule {
        id: problem.code.clone(),
        short_description: plain(short),
        full_description: plain(full),
        help,
        default_configuration: Configuration { level: "error" },
    }
}

fn result(problem: Problem, rule_index: usize) -> Found {
    let locations = problem.region.map(|region| Location { physical_location: physical(region) });
    Found {
        rule_id: problem.code,
        rule_index,
        level: "error",
        message: plain(problem.message),
        locations: locations.into_iter().collect(),
    }
}

fn physical(region: Region) -> Physical {
    let Region { file, line, column, end } = region;
    let part = Part { start_line: line, start_column: column, end_column: end };
    Physical { artifact_location: Artifact { uri: uri(&file) }, region: part }
}

/// A path as a reference of RFC 3986: relative to where the command ran, or absolute.
fn uri(file: &str) -> String {
    let mut uri = String::new();
    let file = file.strip_prefix("./").unwrap_or(file);
    if file.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a/b.yaml"), "a/b.yaml");
        assert_eq!(uri("a b:ä.yaml"), "a%20b%3A%C3%A4.yaml");
        assert_eq!(uri("/srv/a.yaml"), "file:///srv/a.yaml");
    }
}
