//! Everything but the main job.

use policy::lifeline::config;

use super::args::{PresetsCommand, SchemaOf};
use super::{Exit, complain, print};
use crate::finding::codes::judging;
use crate::finding::{Severity, codes};
use crate::matrix::SCHEMA;
use crate::presets;

pub(super) fn presets(command: Option<PresetsCommand>) -> Exit {
    match command {
        None => {
            let width = presets::all().iter().map(|preset| preset.name.len()).max().unwrap_or_default();
            let lines = presets::all().iter().map(|preset| format!("{:width$}  {}\n", preset.name, preset.summary));
            print(&lines.collect::<String>())
        }
        Some(PresetsCommand::Show { name }) => match presets::find(&name) {
            Some(preset) => print(preset.text),
            None => {
                unknown_preset(&name);
                Exit::Usage
            }
        },
    }
}

pub(super) fn unknown_preset(name: &str) {
    let names: Vec<&str> = presets::all().iter().map(|preset| preset.name).collect();
    complain(&format!("there is no preset `{name}`; the presets are {}", names.join(", ")));
}

pub(super) fn schema(of: SchemaOf) -> Exit {
    print(match of {
        SchemaOf::Matrix => SCHEMA,
        SchemaOf::Config => config::SCHEMA,
        SchemaOf::Check => super::check::SCHEMA,
    })
}

pub(super) fn explain(code: Option<&str>) -> Exit {
    let Some(id) = code else {
        let width = codes::all().iter().map(|code| code.id.len()).max().unwrap_or_default();
        let lines = codes::all().into_iter().map(|code| format!("{:width$}  {}\n", code.id, code.title));
        return print(&lines.collect::<String>());
    };
    let Some(code) = codes::find(id) else {
        let near = codes::all()
            .into_iter()
            .map(|code| (strsim::damerau_levenshtein(code.id, id), code.id))
            .min()
            .filter(|(distance, _)| *distance <= 4);
        match near {
            Some((_, near)) => complain(&format!("there is no code `{id}`; did you mean `{near}`?")),
            None => complain(&format!("there is no code `{id}`; `translate explain` lists them")),
        }
        return Exit::Usage;
    };
    let severity = match code.severity {
        Severity::Error if judging::is_of_judgement(code) => "error: the change is not safe; exit status 1",
        Severity::Error => "error: no output is written",
        Severity::Warning => "warning: output is written; fails with --strict",
        Severity::Note => "note",
    };
    let mut text = format!("{}: {}\n({severity})\n\n{}\n", code.id, code.title, wrap(code.explanation));
    if !code.example.is_empty() {
        text.push_str(&format!("\nExample\n\n{}\n", indent(code.example)));
    }
    text.push_str(&format!("\nWhat to do\n\n{}\n", wrap(code.fix)));
    print(&text)
}

/// Wraps paragraphs at 80 columns.
fn wrap(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| {
            let mut lines = vec![String::new()];
            for word in paragraph.split_whitespace() {
                let line = lines.last_mut().expect("it begins with one line");
                if !line.is_empty() && line.chars().count() + word.chars().count() >= 80 {
                    lines.push(word.to_owned());
                } else {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(word);
                }
            }
            lines.join("\n")
        })
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

pub(super) fn completion(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "translate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

pub(super) fn man() -> Exit {
    let mut page = Vec::new();
    match clap_mangen::Man::new(super::command()).render(&mut page) {
        Ok(()) => print(&String::from_utf8_lossy(&page)),
        Err(error) => {
            complain(&format!("cannot render the manual page: {error}"));
            Exit::Internal
        }
    }
}

pub(super) fn version(output: &str) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        "json" => print(&format!(
            "{}\n",
            serde_json::json!({
                "version": version,
                "matrix": crate::matrix::API_VERSION,
                "calico": "3.29-3.32",
                "cilium": "1.18-1.20",
            })
        )),
        _ => print(&format!("translate {version}\n")),
    }
}
