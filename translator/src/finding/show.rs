//! Findings for people (with an excerpt of the source) and for programs (JSON).

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::{Finding, Severity};

/// The text that locations point into.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, as shown.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

/// One finding as text, without a final line break. `styled` adds terminal colours.
pub fn text(finding: &Finding, source: Option<Source<'_>>, styled: bool) -> String {
    let level = match finding.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let message = printable(&finding.message);
    let mut group =
        level.primary_title(message).id(finding.code.id).elements([] as [annotate_snippets::Message<'_>; 0]);
    match (&finding.at, source) {
        (Some(at), Some(source)) if source.text.is_char_boundary(at.bytes.start) => {
            let end = first_line_end(source.text, &at.bytes);
            let label = if finding.path.is_empty() { finding.code.title } else { &finding.path };
            group = group.element(
                Snippet::source(source.text)
                    .path(source.name)
                    .annotation(AnnotationKind::Primary.span(at.bytes.start..end).label(printable(label))),
            );
        }
        _ if !finding.path.is_empty() => {
            group = group.element(Level::NOTE.with_name("at").message(printable(&finding.path)))
        }
        _ => {}
    }
    if let Some(object) = &finding.object {
        group = group.element(Level::NOTE.with_name("object").message(printable(object)));
    }
    if let Some(lost) = &finding.lost {
        group = group.element(Level::NOTE.with_name("packets").message(printable(lost)));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// Input text can hold anything; a terminal must not obey it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn first_line_end(text: &str, bytes: &std::ops::Range<usize>) -> usize {
    let end = bytes.end.min(text.len());
    let end = (bytes.start..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(bytes.start);
    text[bytes.start..end].find('\n').map_or(end, |length| bytes.start + length)
}

/// A finding as the JSON report has it.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    code: &'static str,
    severity: Severity,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// One finding for a program.
pub fn json<'a>(finding: &'a Finding, file: Option<&'a str>) -> Json<'a> {
    Json {
        code: finding.code.id,
        severity: finding.severity(),
        message: &finding.message,
        file: file.filter(|_| finding.at.is_some()),
        path: &finding.path,
        line: finding.at.as_ref().map(|at| at.line),
        column: finding.at.as_ref().map(|at| at.column),
        object: finding.object.as_deref(),
        lost: finding.lost.as_deref(),
        help: finding.help.as_deref(),
    }
}
