//! `--fix`: the manifests of a change with the repair in them. What the repair does not touch stays byte for byte.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser};
use policy::lifeline::judge::{Change, Judgement, Verdict};
use policy::lifeline::repair::{Repair, Step};
use policy::snapshot::{Key, Manifest, manifests};
use serde_json::Value;

use super::Report;

/// What repaired manifests are called in messages.
const REPAIRED: &str = "repaired manifests";

/// The manifests that `-f` names, repaired; or why there are none. `judge` judges changes to the same state.
pub(super) fn repaired(
    report: &Report,
    judge: impl FnOnce(&[Change]) -> Result<Judgement, String>,
) -> Result<String, String> {
    let judgement = &report.judgement;
    let text = match (judgement.verdict, &judgement.repair) {
        (Verdict::Safe, _) => written(report, &Edits::default())?,
        (_, Some(repair)) if repair.proved => written(report, &edits(repair)?)?,
        (_, Some(_)) => {
            return Err("the repair is not proved to cut nothing, because of what cannot be proved".to_owned());
        }
        (_, None) if judgement.order.is_some() => {
            return Err("nothing needs repair but the order; apply the changes in the one that is proposed".to_owned());
        }
        (_, None) => return Err("no repair is known that is proved to cut nothing".to_owned()),
    };
    // What counts is what is written, so that is what is judged.
    let read = manifests(REPAIRED, &text).map_err(|error| format!("what would be written cannot be read: {error}"))?;
    let deletions = report.input.changes.iter().filter(|change| matches!(change, Change::Delete(_))).cloned();
    let changes: Vec<Change> = read.into_iter().map(Change::Put).chain(deletions).collect();
    if changes.is_empty() || judge(&changes)?.verdict == Verdict::Safe {
        Ok(text)
    } else {
        Err("the change is not safe with the repair in it either".to_owned())
    }
}

/// What a repair does to manifests.
#[derive(Default)]
struct Edits<'r> {
    added: Vec<&'r Value>,
    /// The manifests that take the places of objects.
    replaced: BTreeMap<&'r Key, &'r Value>,
}

fn edits(repair: &Repair) -> Result<Edits<'_>, String> {
    let mut edits = Edits::default();
    for step in &repair.steps {
        match step {
            Step::Add { manifest, .. } => edits.added.push(manifest),
            Step::Patch { object, manifest, .. } => {
                edits.replaced.insert(object, manifest);
            }
            // Without it the change would not say what its author means, and nobody would be told.
            Step::Withhold { object, deletion } => {
                let what = if *deletion { "the deletion of " } else { "" };
                return Err(format!("the repair is to leave out {what}{object}, which is for its author to decide"));
            }
        }
    }
    Ok(edits)
}

fn written(report: &Report, edits: &Edits<'_>) -> Result<String, String> {
    let mut text = String::new();
    for manifest in &edits.added {
        document(&mut text, manifest)?;
    }
    let mut files: Vec<&str> = Vec::new();
    for change in &report.input.changes {
        let Change::Put(Manifest { source: Some(source), .. }) = change else { continue };
        if !files.contains(&source.file.as_str()) {
            files.push(&source.file);
        }
    }
    for file in files {
        let given = report.input.texts.get(file).map(String::as_str).unwrap_or_default();
        for (part, objects) in parts(file, given)? {
            if objects.iter().any(|object| edits.replaced.contains_key(&object.key)) {
                for object in &objects {
                    document(&mut text, edits.replaced.get(&object.key).copied().unwrap_or(&object.value))?;
                }
            } else {
                verbatim(&mut text, part);
            }
        }
    }
    Ok(text)
}

fn document(text: &mut String, value: &Value) -> Result<(), String> {
    let yaml =
        serde_saphyr::to_string(value).map_err(|error| format!("an object cannot be written as YAML: {error}"))?;
    text.push_str("---\n");
    text.push_str(&yaml);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(())
}

/// As it was given, behind a separator if it brings none and needs one.
fn verbatim(text: &mut String, part: &str) {
    let mut content = part.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let separated = content.next().is_none_or(|line| line.starts_with("---"));
    if !text.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !separated {
            text.push_str("---\n");
        }
    }
    text.push_str(part);
}

/// The documents of a file as they were given, each with its objects. A text that cannot be taken apart without changing
/// what it says is one part.
fn parts<'t>(file: &str, text: &'t str) -> Result<Vec<(&'t str, Vec<Manifest>)>, String> {
    let objects = |text: &str| manifests(file, text).map_err(|error| error.to_string());
    let whole = objects(text)?;
    let apart: Result<Vec<_>, String> = ranges(text)
        .into_iter()
        .map(|range| {
            let part = text.get(range).ok_or("a boundary within a character")?;
            Ok((part, objects(part)?))
        })
        .collect();
    let same = |parts: &[(&str, Vec<Manifest>)]| {
        let of = |manifest: &Manifest| (manifest.key.clone(), manifest.value.clone());
        parts.iter().flat_map(|(_, objects)| objects).map(of).eq(whole.iter().map(of))
    };
    match apart {
        Ok(parts) if same(&parts) => Ok(parts),
        _ => Ok(vec![(text, whole)]),
    }
}

/// Where the documents of a YAML text are: each begins with its marker, the first with the text.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        if let Event::DocumentStart(..) = event {
            starts.push(span.start.byte_offset().unwrap_or_default());
        }
    }
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end.max(start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(&str, usize)> {
        parts("f", text).expect("objects").into_iter().map(|(part, objects)| (part, objects.len())).collect()
    }

    const A: &str = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n";

    #[test]
    fn documents_are_taken_apart_at_their_markers() {
        let text = format!("# head\n{A}# tail\n---\n# of b\n{A}---\n{A}");
        let all = texts(&text);
        assert_eq!(all.iter().map(|(_, objects)| *objects).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(all.iter().map(|(part, _)| *part).collect::<String>(), text);
        assert!(all[1].0.starts_with("---\n# of b"), "{all:?}");
    }

    #[test]
    fn what_cannot_be_taken_apart_is_one_part() {
        let two = r#"{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}"#.repeat(2);
        assert_eq!(texts(&two), [(two.as_str(), 2)]);
    }

    #[test]
    fn nothing_is_left_out_unasked() {
        let key = Key { group: String::new(), kind: "A".to_owned(), namespace: String::new(), name: "a".to_owned() };
        for (deletion, wanted) in [(true, "leave out the deletion of A/a"), (false, "leave out A/a")] {
            let steps = vec![Step::Withhold { object: key.clone(), deletion }];
            let repair = Repair { steps, proved: true, reopens: Vec::new() };
            let why = edits(&repair).map(|_| ()).expect_err("a refusal");
            assert!(why.contains(wanted), "{why}");
        }
    }

    #[test]
    fn separators_stand_where_they_are_needed() {
        let mut text = String::new();
        verbatim(&mut text, "a: 1");
        verbatim(&mut text, "# b\nb: 1\n");
        verbatim(&mut text, "---\nc: 1\n");
        assert_eq!(text, "a: 1\n---\n# b\nb: 1\n---\nc: 1\n");
    }
}
