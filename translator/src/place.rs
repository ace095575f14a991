//! Where in a user's file a field of an object stands.

use std::ops::Range;

use granit_parser::{Event, Parser, Span};
use policy::snapshot::Source;

use crate::finding::Location;

/// Deepest nesting that is followed; no Kubernetes object has more.
const DEEPEST: usize = 64;

/// Ways to write nothing (YAML 1.2, core schema).
const NOTHING: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// The place of a field, or of the nearest field around it that is there. `path` is written as `spec.ingress[0].action`.
///
/// `None` if the text no longer holds the object.
pub fn locate(text: &str, source: &Source, path: &str) -> Option<Location> {
    let item = source.item.into_iter().flat_map(|item| [Part::Key("items"), Part::Index(item)]);
    let wanted: Vec<Part<'_>> = item.chain(parts(path)).collect();
    let least = if source.item.is_some() { 2 } else { 0 };
    let options = granit_parser::options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
    let mut search = Search { wanted, stack: Vec::new(), best: None };
    // Documents without anything in them are not counted where objects are read.
    let (mut document, mut begins): (Option<usize>, bool) = (None, false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.ok()?;
        match event {
            Event::DocumentStart(..) => begins = true,
            Event::Scalar(text, ..) if begins && NOTHING.contains(&text.as_ref()) => begins = false,
            Event::DocumentEnd if document == Some(source.document) => break,
            event => {
                // Comments come before what a document begins with.
                let content = matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..));
                if content && std::mem::take(&mut begins) {
                    document = Some(document.map_or(0, |document| document + 1));
                }
                if document == Some(source.document) {
                    search.take(&event, &span);
                }
            }
        }
    }
    let (depth, range, line, column) = search.best?;
    (depth >= least).then(|| location(text, range, line, column))
}

fn location(text: &str, range: Range<usize>, line: usize, column: usize) -> Location {
    let start = range.start.min(text.len());
    let end = range.end.clamp(start, text.len());
    let written = text.get(start..end).unwrap_or_default();
    let line_end = written.find('\n').unwrap_or(written.len());
    let end = start + written[..line_end].trim_end().len();
    Location { line, column, bytes: start..end }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'p> {
    Key(&'p str),
    Index(usize),
}

fn parts(path: &str) -> impl Iterator<Item = Part<'_>> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(|part| match part.strip_suffix(']') {
        Some(index) => index.parse().map_or(Part::Key(index), Part::Index),
        None => Part::Key(part),
    })
}

/// A mapping or a list that is open, and how far it is on the way.
struct Frame {
    list: bool,
    /// How many parts lead to it; absent where it is off the way.
    depth: Option<usize>,
    /// The key whose value comes next, with whether it is on the way.
    key: Option<bool>,
    index: usize,
}

struct Search<'p> {
    wanted: Vec<Part<'p>>,
    stack: Vec<Frame>,
    /// The deepest place so far: its depth, bytes, line and column.
    best: Option<(usize, Range<usize>, usize, usize)>,
}

impl Search<'_> {
    fn take(&mut self, event: &Event<'_>, span: &Span) {
        match event {
            Event::Scalar(text, ..) => {
                let is_key = self.stack.last().is_some_and(|frame| !frame.list && frame.key.is_none());
                if is_key {
                    let wanted = self.stack.last().and_then(|frame| self.wanted.get(frame.depth?));
                    let hit = wanted == Some(&Part::Key(text.as_ref()));
                    if hit {
                        let depth = self.stack.last().and_then(|frame| frame.depth).unwrap_or_default();
                        self.note(depth + 1, span, false);
                    }
                    if let Some(frame) = self.stack.last_mut() {
                        frame.key = Some(hit);
                    }
                } else {
                    let depth = self.enter();
                    if let Some(depth) = depth {
                        self.note(depth, span, false);
                    }
                    self.leave();
                }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let depth = self.enter();
                let list = matches!(event, Event::SequenceStart(..));
                if let Some(depth) = depth {
                    self.note(depth, span, true);
                }
                self.stack.push(Frame { list, depth, key: None, index: 0 });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.stack.pop();
                self.leave();
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.leave(),
            _ => {}
        }
    }

    /// How deep on the way the value is that begins here.
    fn enter(&self) -> Option<usize> {
        let Some(frame) = self.stack.last() else { return Some(0) };
        let depth = frame.depth?;
        let on_the_way = if frame.list {
            self.wanted.get(depth) == Some(&Part::Index(frame.index))
        } else {
            frame.key == Some(true)
        };
        on_the_way.then_some(depth + 1)
    }

    /// A value ends here.
    fn leave(&mut self) {
        if let Some(frame) = self.stack.last_mut() {
            frame.key = None;
            frame.index += 1;
        }
    }

    /// Keeps the first place of the deepest that are found: of a field that is its name, of an entry of a list its first
    /// line.
    fn note(&mut self, depth: usize, span: &Span, open: bool) {
        if self.best.as_ref().is_none_or(|(best, ..)| depth > *best) {
            let start = span.start.byte_offset().unwrap_or_default();
            let end = if open { usize::MAX } else { span.end.byte_offset().unwrap_or(start) };
            self.best = Some((depth, start..end, span.start.line(), span.start.col() + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::snapshot::manifests;

    use super::*;

    const TEXT: &str = "# two objects
kind: A
spec:
  ingress:
  - action: Allow
  - {action: Deny, source: {nets: [10.0.0.0/8, 10.1.0.0/16]}}
---
kind: List
items:
- spec: {order: 1}
- spec:
    egress: []
";

    fn found(document: usize, item: Option<usize>, path: &str) -> Option<(usize, usize, &'static str)> {
        let source = Source { file: "f".to_owned(), document, item, line: 1 };
        let at = locate(TEXT, &source, path)?;
        Some((at.line, at.column, &TEXT[at.bytes]))
    }

    #[test]
    fn a_path_leads_to_its_line() {
        assert_eq!(found(0, None, "spec.ingress[0]"), Some((5, 5, "action: Allow")));
        assert_eq!(found(0, None, "spec.ingress[1].source.nets[1]"), Some((6, 48, "10.1.0.0/16")));
        assert_eq!(found(0, None, "spec.ingress"), Some((4, 3, "ingress")));
        assert_eq!(found(1, Some(1), "spec.egress"), Some((12, 5, "egress")));
        assert_eq!(found(1, Some(0), "spec.order"), Some((10, 10, "order")));
    }

    #[test]
    fn what_is_not_there_is_shown_where_it_would_be() {
        assert_eq!(found(0, None, "spec.egress[3]"), Some((3, 1, "spec")));
        assert_eq!(found(1, Some(1), "metadata.name"), Some((11, 3, "spec:")));
        assert_eq!(found(1, Some(7), "spec"), None);
        assert_eq!(found(5, None, "spec"), None);
    }

    #[test]
    fn empty_documents_do_not_count() {
        for empty in
            ["---\n---\n", "# c\n---\n# d\n---\n---\n", "---\nnull\n---\n", "---\n~\n...\n---\n", "--- !!null\n---\n"]
        {
            let object = |name: &str| format!("apiVersion: v1\nkind: A\nmetadata: {{name: {name}}}\nspec: {{}}\n");
            let text = format!("{empty}{}{empty}{}", object("a"), object("b"));
            let read = manifests("f", &text).expect(&text);
            for (manifest, wanted) in read.iter().zip(["a", "b"]) {
                let at = locate(&text, manifest.source.as_deref().expect("a place"), "metadata.name").expect(&text);
                let line = text.lines().nth(at.line - 1).expect("a line");
                assert_eq!(line, format!("metadata: {{name: {wanted}}}"), "{text}");
            }
            assert_eq!(read.len(), 2, "{text}");
        }
    }

    #[test]
    fn json_is_yaml() {
        let text = r#"{"kind": "A", "spec": {"ingress": [{"action": "Deny"}]}}"#;
        let source = Source { file: "f".to_owned(), document: 0, item: None, line: 1 };
        let at = locate(text, &source, "spec.ingress[0].action").expect("a place");
        assert_eq!((at.line, &text[at.bytes]), (1, "\"action\""));
    }
}
