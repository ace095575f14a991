//! A judgement as a JUnit report: one case for each lifeline, and one for each other reason why nothing is safe; what was
//! taken for granted in `system-out`.

use std::io;

use policy::lifeline::detect::Detected;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::Report;
use super::problems::{Problem, Remarks, problems};
use crate::cli::{Exit, complain};

const SUITE: &str = "translate check";

/// A case, and what came of it.
enum Case<'r> {
    Passed(&'r str),
    Failed(String, Vec<&'r Problem>),
    Skipped(String, String),
}

/// `detected`: what the cluster lives on, before the change and after it.
pub(super) fn print(report: &Report, detected: &Detected) -> Exit {
    match write(report, detected) {
        Ok(text) => crate::cli::print(&text),
        Err(error) => {
            complain(&format!("cannot write the judgement as XML: {error}"));
            Exit::Internal
        }
    }
}

fn write(report: &Report, detected: &Detected) -> io::Result<String> {
    let problems = problems(report);
    let mut ids: Vec<&str> = detected.lifelines.iter().map(|lifeline| lifeline.id.as_str()).collect();
    ids.extend(problems.iter().filter_map(|problem| problem.lifeline.as_deref()));
    ids.sort_unstable();
    ids.dedup();
    let mut cases = Vec::new();
    for id in &ids {
        let cut: Vec<&Problem> = problems.iter().filter(|problem| problem.lifeline.as_deref() == Some(*id)).collect();
        cases.push(if cut.is_empty() { Case::Passed(id) } else { Case::Failed((*id).to_owned(), cut) });
    }
    let others = problems.iter().filter(|problem| problem.lifeline.is_none()).enumerate();
    cases.extend(others.map(|(index, one)| Case::Failed(format!("{} {}", one.code, index + 1), vec![one])));
    for missing in &report.judgement.missing {
        // Of one that is known in part, the part that is not is a case of its own.
        let name = if ids.contains(&missing.id) {
            format!("{} {}", missing.id, missing.parameter)
        } else {
            missing.id.to_owned()
        };
        cases.push(Case::Skipped(name, format!("{} (parameter {})", missing.what, missing.parameter)));
    }
    let Remarks { broken, assumed, .. } = Remarks::of(&report.judgement);
    let titled =
        |title: &str, lines: &[String]| lines.iter().map(|line| format!("{title}: {line}\n")).collect::<String>();
    let out = titled(Remarks::BROKEN, &broken) + &titled(Remarks::ASSUMED, &assumed);
    xml(&cases, &out)
}

/// `out`: what is to be known besides the cases.
fn xml(cases: &[Case<'_>], out: &str) -> io::Result<String> {
    let tests = cases.len().to_string();
    let count = |is: fn(&Case<'_>) -> bool| cases.iter().filter(|case| is(case)).count().to_string();
    let failures = count(|case| matches!(case, Case::Failed(..)));
    let skipped = count(|case| matches!(case, Case::Skipped(..)));
    let totals = [("name", SUITE), ("tests", &tests), ("failures", &failures), ("errors", "0")];
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attributes(totals).write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attributes(totals);
        suite.with_attribute(("skipped", skipped.as_str())).write_inner_content(|writer| {
            cases.iter().try_for_each(|one| case(writer, one))?;
            if !out.is_empty() {
                writer.create_element("system-out").write_text_content(BytesText::new(&allowed(out)))?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

fn case(writer: &mut Writer<Vec<u8>>, case: &Case<'_>) -> io::Result<()> {
    let (name, class) = match case {
        Case::Failed(name, problems) if problems.iter().all(|problem| problem.lifeline.is_none()) => {
            (name.as_str(), "state")
        }
        Case::Failed(name, _) | Case::Skipped(name, _) => (name.as_str(), "lifelines"),
        Case::Passed(name) => (*name, "lifelines"),
    };
    let name = allowed(name);
    let element = writer.create_element("testcase").with_attributes([("name", name.as_str()), ("classname", class)]);
    match case {
        Case::Passed(_) => element.write_empty()?,
        Case::Skipped(_, why) => element.write_inner_content(|writer| {
            writer.create_element("skipped").with_attribute(("message", allowed(why).as_str())).write_empty()?;
            Ok(())
        })?,
        Case::Failed(_, problems) => element.write_inner_content(|writer| {
            let lines = problems.iter().map(|Problem { message, region, .. }| match region {
                Some(at) => format!("{}:{}:{}\n{message}", at.file, at.line, at.column),
                None => message.clone(),
            });
            let text = allowed(&lines.collect::<Vec<_>>().join("\n"));
            let code = allowed(problems.first().map(|problem| problem.code.as_str()).unwrap_or_default());
            let failure = writer.create_element("failure").with_attribute(("type", code.as_str()));
            failure.write_text_content(BytesText::new(&text))?;
            Ok(())
        })?,
    };
    Ok(())
}

/// Without the control characters that XML 1.0 has no way to write.
fn allowed(text: &str) -> String {
    let fine = |character: char| {
        character == '\n' || !(character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().map(|character| if fine(character) { character } else { '\u{fffd}' }).collect()
}
