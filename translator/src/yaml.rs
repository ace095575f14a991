//! YAML as a tree in which every node knows its place, with what readers disagree about refused.
//!
//! A matrix is written once and read by many tools, so it must mean the same to a YAML 1.1 and a YAML 1.2 reader.

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span};

use crate::finding::codes::matrix as codes;
use crate::finding::{Finding, Location};

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 32;
/// Most nodes that are read.
pub const MAX_NODES: usize = 200_000;

/// A node and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it is.
    pub at: Location,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar: its text, and whether it was written without quotes.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order written, keys unique.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// The text.
    pub text: String,
    /// Where it is.
    pub at: Location,
}

impl Node {
    /// `a list`, `a mapping` or `text`, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { text, plain: true } if text.is_empty() || is_null(text) => "null",
            Value::Scalar { .. } => "a single value",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether it is an empty or null plain scalar.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if text.is_empty() || is_null(text))
    }

    /// Whether every reader takes it as text: quoted, or no null, boolean or number.
    pub fn is_text(&self) -> bool {
        match &self.value {
            Value::Scalar { plain: false, .. } => true,
            Value::Scalar { text, plain: true } => !(self.is_null() || is_boolean(text) || is_number(text)),
            _ => false,
        }
    }
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let hexadecimal = digits.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal
        || (digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') && text.parse::<f64>().is_ok())
}

fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}

/// Reads one document.
///
/// The findings name every place where the text is not one YAML document, or uses something that a matrix may not:
/// aliases, tags, repeated keys, scalars that YAML versions read differently, or more size or depth than is read. There is a
/// tree as long as the text could be read to its end.
pub fn read(text: &str) -> (Option<Node>, Vec<Finding>) {
    if text.len() > MAX_BYTES {
        let message = format!("the matrix has {} bytes; at most {MAX_BYTES} are read", text.len());
        let help = "a matrix is a page or two; check that this is the right file";
        return (None, vec![Finding::new(&codes::INPUT_TOO_LARGE, message).help(help)]);
    }
    let mut reader = Reader { text, findings: Vec::new(), nodes: 0 };
    let root = reader.stream();
    (root, reader.findings)
}

struct Reader<'a> {
    text: &'a str,
    findings: Vec<Finding>,
    nodes: usize,
}

enum Frame {
    Seq { items: Vec<Node>, start: Span },
    Map { entries: Vec<(Key, Node)>, key: Option<Option<Key>>, start: Span },
}

impl Reader<'_> {
    fn location(&self, start: usize, end: usize, line: usize, column: usize) -> Location {
        let end = end.clamp(start, self.text.len());
        let trimmed = start + self.text[start..end].trim_end().len();
        Location { line, column, bytes: start..trimmed.max(start) }
    }

    fn span(&self, span: &Span) -> Location {
        let start = span.start.byte_offset().unwrap_or(0).min(self.text.len());
        let end = span.end.byte_offset().unwrap_or(start);
        self.location(start, end, span.start.line(), span.start.col() + 1)
    }

    fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The one document, or `None` with findings.
    fn stream(&mut self) -> Option<Node> {
        let text = self.text;
        let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut stack: Vec<Frame> = Vec::new();
        let mut root: Option<Node> = None;
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let marker = error.marker();
                    let start = marker.byte_offset().unwrap_or(text.len()).min(text.len());
                    let at = self.location(start, start, marker.line(), marker.col() + 1);
                    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
                        self.report(too_deep(at));
                    } else {
                        self.report(
                            Finding::new(&codes::YAML_SYNTAX, format!("this is not YAML: {}", error.info()))
                                .at("", Some(at))
                                .help("mend the syntax at this place; everything after it was not read"),
                        );
                    }
                    return None;
                }
            };
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.span(&span);
                        self.report(
                            Finding::new(&codes::YAML_NOT_ONE_DOCUMENT, "a second document starts here")
                                .at("", Some(at))
                                .help("keep one PortMatrix in a file"),
                        );
                        return None;
                    }
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    let at = self.span(&span);
                    self.report(
                        Finding::new(&codes::YAML_ALIAS, "aliases are not read in a matrix")
                            .at("", Some(at))
                            .help("write the value out, or name it as a parameter or a peer"),
                    );
                    return None;
                }
                Event::Scalar(value, style, _, tag) => {
                    if tag.is_some() {
                        self.tag(&span);
                    }
                    let at = self.span(&span);
                    let plain = style == ScalarStyle::Plain;
                    if plain && let Some(why) = ambiguous(&value) {
                        self.report(
                            Finding::new(&codes::YAML_AMBIGUOUS_SCALAR, format!("`{value}` {why}"))
                                .at("", Some(at.clone()))
                                .help(
                                    "put it in quotes if it is text, or write it in the one way every reader agrees on",
                                ),
                        );
                    }
                    let node = Node { value: Value::Scalar { text: value.into_owned(), plain }, at };
                    if !self.place(&mut stack, &mut root, node) {
                        return None;
                    }
                }
                Event::SequenceStart(_, _, tag) => {
                    if tag.is_some() {
                        self.tag(&span);
                    }
                    stack.push(Frame::Seq { items: Vec::new(), start: span });
                }
                Event::MappingStart(_, _, tag) => {
                    if tag.is_some() {
                        self.tag(&span);
                    }
                    stack.push(Frame::Map { entries: Vec::new(), key: None, start: span });
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(frame) = stack.pop() else { continue };
                    let (value, start) = match frame {
                        Frame::Seq { items, start } => (Value::Seq(items), start),
                        Frame::Map { entries, start, .. } => (Value::Map(entries), start),
                    };
                    let first = start.start.byte_offset().unwrap_or(0).min(text.len());
                    let last = span.end.byte_offset().unwrap_or(first);
                    let at = self.location(first, last, start.start.line(), start.start.col() + 1);
                    if !self.place(&mut stack, &mut root, Node { value, at }) {
                        return None;
                    }
                }
                _ => {}
            }
        }
        if root.as_ref().is_none_or(Node::is_null) && self.findings.is_empty() {
            self.report(
                Finding::new(&codes::INPUT_EMPTY, "there is no document in it")
                    .help("start from a preset: translate presets show kubeadm"),
            );
            return None;
        }
        root
    }

    fn tag(&mut self, span: &Span) {
        let at = self.span(span);
        self.report(
            Finding::new(&codes::YAML_TAG, "tags are not read in a matrix")
                .at("", Some(at))
                .help("leave the tag out; put the value in quotes if it is text"),
        );
    }

    /// Puts a finished node where it belongs; false when reading must end.
    fn place(&mut self, stack: &mut [Frame], root: &mut Option<Node>, node: Node) -> bool {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.report(
                Finding::new(&codes::INPUT_TOO_LARGE, format!("there are more than {MAX_NODES} values"))
                    .at("", Some(node.at))
                    .help("a matrix is a page or two; check that this is the right file"),
            );
            return false;
        }
        match stack.last_mut() {
            None => *root = Some(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => {
                        let repeated =
                            entries.iter().find(|(other, _)| other.text == text).map(|(other, _)| other.at.line);
                        if let Some(line) = repeated {
                            self.findings.push(
                                Finding::new(
                                    &codes::YAML_REPEATED_KEY,
                                    format!("the key `{text}` stands here again; it is already on line {line}"),
                                )
                                .at("", Some(node.at.clone()))
                                .help("keep one of them; readers disagree about which one counts"),
                            );
                            *key = Some(None);
                        } else {
                            *key = Some(Some(Key { text, at: node.at }));
                        }
                    }
                    _ => {
                        self.findings.push(
                            Finding::new(&codes::WRONG_TYPE, "a key must be a single value")
                                .at("", Some(node.at))
                                .help("write `name: value`"),
                        );
                        *key = Some(None);
                    }
                },
                Some(Some(name)) => entries.push((name, node)),
                Some(None) => {}
            },
        }
        true
    }
}

fn too_deep(at: Location) -> Finding {
    Finding::new(&codes::INPUT_TOO_DEEP, format!("nesting goes deeper than {MAX_DEPTH} levels"))
        .at("", Some(at))
        .help("a matrix needs no more than eight levels; check for brackets left open")
}

/// Why YAML 1.1 and YAML 1.2 readers see different values in a plain scalar, if they do.
fn ambiguous(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off") {
        return Some("is a boolean to YAML 1.1 readers and text to YAML 1.2 readers");
    }
    if matches!(lower.as_str(), "true" | "false")
        && !matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
    {
        return Some("is a boolean to some readers and text to others");
    }
    if text == "=" || text == "<<" {
        return Some("has a meaning of its own to YAML 1.1 readers");
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|first: char| first.is_ascii_digit());
    if !numeric {
        return matches!(lower.trim_start_matches(['-', '+']), ".inf" | ".nan")
            .then_some("is a number that JSON cannot hold");
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("is octal to YAML 1.1 readers and decimal to YAML 1.2 readers");
    }
    if digits.starts_with("0o") || digits.starts_with("0b") {
        return Some("is a number to some readers and text to others");
    }
    if digits.contains('_') && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'_' | b'.' | b'x'))
    {
        return Some("is a number with grouping to YAML 1.1 readers and text to YAML 1.2 readers");
    }
    if digits.contains(':') && sexagesimal(digits) {
        return Some("is a number in base 60 to YAML 1.1 readers and text to YAML 1.2 readers");
    }
    if is_date(digits) {
        return Some("is a date to YAML 1.1 readers and text to YAML 1.2 readers");
    }
    if let Some((mantissa, exponent)) = lower.split_once('e')
        && !mantissa.contains('.')
        && mantissa.bytes().all(|byte| byte.is_ascii_digit())
        && !exponent.is_empty()
        && exponent.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some("is a number to YAML 1.2 readers and text to YAML 1.1 readers");
    }
    None
}

fn sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    !first.is_empty()
        && first.bytes().all(|byte| byte.is_ascii_digit())
        && parts.all(|part| {
            (1..=2).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse::<u8>().is_ok_and(|value| value < 60)
        })
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(3, '-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    year.len() == 4
        && month.len() <= 2
        && digits(year)
        && digits(month)
        && day.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_versions_read_alike_passes() {
        for text in [
            "22",
            "0",
            "30000-32767",
            "10.52.0.0/16",
            "fd00::/8",
            "true",
            "False",
            "null",
            "SSH",
            "control-plane",
            "1.5",
            "rows: on",
            "2379:2380",
            "a_b",
            "v1.31",
            "10/min",
            "$adminCIDRs",
            "any",
        ] {
            assert_eq!(ambiguous(text), None, "{text}");
        }
    }

    #[test]
    fn what_yaml_versions_read_differently_is_refused() {
        for text in [
            "yes",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "tRue",
            "010",
            "08",
            "0o17",
            "1_000",
            "22:23",
            "1:30:00",
            "2024-01-02",
            "1e3",
            ".inf",
            "-.INF",
            "=",
            "<<",
            "0b11",
        ] {
            assert!(ambiguous(text).is_some(), "{text}");
        }
    }

    #[test]
    fn places_are_right_in_flow_and_block_style() {
        let root = read("a: 1\nrows:\n- {ports: 22, from: any}\n").0.expect("valid");
        let Value::Map(entries) = &root.value else { panic!("a mapping") };
        let Value::Seq(rows) = &entries[1].1.value else { panic!("a list") };
        let Value::Map(row) = &rows[0].value else { panic!("a mapping") };
        assert_eq!((row[1].0.at.line, row[1].0.at.column), (3, 15));
        assert_eq!((row[1].1.at.line, row[1].1.at.column), (3, 21));
        assert_eq!(row[1].1.at.bytes, 31..34);
    }

    #[test]
    fn repeated_keys_are_all_reported() {
        let findings = read("a: 1\na: 2\nb: {c: 1, c: 2}\n").1;
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].at.as_ref().map(|at| at.line), Some(2));
        assert_eq!(findings[1].at.as_ref().map(|at| at.line), Some(3));
    }

    #[test]
    fn an_alias_bomb_and_deep_nesting_end_at_once() {
        let bomb = "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
        assert_eq!(read(bomb).1[0].code.id, "yaml-alias");
        assert_eq!(read(&"[".repeat(1_000_000)).1[0].code.id, "input-too-deep");
    }
}
