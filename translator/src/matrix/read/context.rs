//! Reading helpers: every mistake becomes a finding with its place, and reading goes on.

use std::collections::BTreeMap;

use crate::finding::codes::matrix as codes;
use crate::finding::{Code, Finding};
use crate::yaml::{Key, Node, Value};

use super::parameters::Parameter;
use crate::matrix::Direction;

/// What reading needs and leaves behind.
pub(super) struct Context {
    /// What was found wrong.
    pub(super) findings: Vec<Finding>,
    /// The parameters, by name, once they are read.
    pub(super) parameters: BTreeMap<String, Parameter>,
    /// Parameters that each named peer is made of.
    pub(super) peer_parameters: BTreeMap<String, Vec<String>>,
    /// Empty parameters in rows that let an administrator in.
    pub(super) admin_parameters: Vec<String>,
    /// Prefixes that peers have been given so far, each as often as it is named.
    pub(super) prefixes: usize,
    /// Rows that admit nobody because their parameters are empty.
    pub(super) vanished: Vec<Vanished>,
}

/// A row that is not in force because its parameters are empty.
pub(super) struct Vanished {
    pub(super) direction: Direction,
    pub(super) finding: Finding,
}

/// The fields of a mapping.
pub(super) struct Fields<'n> {
    entries: &'n [(Key, Node)],
    /// The mapping.
    pub(super) node: &'n Node,
    /// Its path.
    pub(super) path: String,
}

impl<'n> Fields<'n> {
    /// The field, unless it is absent.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// Path of a field.
    pub(super) fn at(&self, name: &str) -> String {
        child(&self.path, name)
    }
}

/// Path of a field of a mapping.
pub(super) fn child(path: &str, name: &str) -> String {
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match (path.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    }
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            findings: Vec::new(),
            parameters: BTreeMap::new(),
            peer_parameters: BTreeMap::new(),
            admin_parameters: Vec::new(),
            prefixes: 0,
            vanished: Vec::new(),
        }
    }

    /// The candidate that was probably meant.
    pub(super) fn suggest<'c>(&self, text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
        if text.len() > LONGEST_SUGGESTED || self.findings.len() > MOST_SUGGESTED {
            return None;
        }
        let text = text.to_lowercase();
        candidates
            .into_iter()
            .filter(|candidate| candidate.len() <= LONGEST_SUGGESTED)
            .map(|candidate| (strsim::damerau_levenshtein(&text, &candidate.to_lowercase()), candidate))
            .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(text.len()) / 4)
            .min()
            .map(|(_, candidate)| candidate)
    }

    /// Reports a finding at a node.
    pub(super) fn report(
        &mut self,
        code: &'static Code,
        node: &Node,
        path: &str,
        message: String,
        help: impl Into<String>,
    ) {
        self.findings.push(Finding::new(code, message).at(path, Some(node.at.clone())).help(help));
    }

    /// Reports a finding at a key.
    pub(super) fn report_key(
        &mut self,
        code: &'static Code,
        key: &Key,
        path: &str,
        message: String,
        help: impl Into<String>,
    ) {
        self.findings.push(Finding::new(code, message).at(path, Some(key.at.clone())).help(help));
    }

    /// A mapping with some of these fields; others are reported.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, path: &str, allowed: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node, path)?;
        for (key, _) in entries {
            if !allowed.contains(&key.text.as_str()) {
                let help = match self.suggest(&key.text, allowed.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the fields here are {}", list(allowed)),
                };
                self.report_key(
                    &codes::UNKNOWN_FIELD,
                    key,
                    &child(path, &key.text),
                    format!("there is no field `{}` here", key.text),
                    help,
                );
            }
        }
        Some(Fields { entries, node, path: path.to_owned() })
    }

    /// A mapping with any keys.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, path, "a mapping");
                None
            }
        }
    }

    /// A field that must be there.
    pub(super) fn required<'n>(&mut self, fields: &Fields<'n>, name: &str, help: &str) -> Option<&'n Node> {
        let node = fields.get(name);
        if node.is_none() {
            let message = format!("`{name}` is missing");
            // The whole mapping may span pages; its first line says enough.
            let mut at = fields.node.at.clone();
            at.bytes.end = at.bytes.start;
            self.findings.push(Finding::new(&codes::MISSING_FIELD, message).at(fields.at(name), Some(at)).help(help));
        }
        node
    }

    /// Reports that another kind of value is wanted.
    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, wanted: &str) {
        let help =
            if node.is_null() { "give a value, or leave the field out".to_owned() } else { format!("write {wanted}") };
        self.report(&codes::WRONG_TYPE, node, path, format!("this is {}, but {wanted} is wanted", node.kind()), help);
    }

    /// A single value as text, quoted or not.
    pub(super) fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => {
                self.wrong_type(node, path, "a single value");
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<'n>(&mut self, node: &'n Node, path: &str, words: &[&str]) -> Option<&'n str> {
        let text = self.text(node, path)?;
        if words.contains(&text) {
            return Some(text);
        }
        let help = match self.suggest(text, words.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? The words are {}", list(words)),
            None => format!("the words are {}", list(words)),
        };
        self.report(&codes::WRONG_VALUE, node, path, format!("`{text}` is not a value of this field"), help);
        None
    }

    /// `true` or `false`, not quoted.
    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => Some(true),
            Value::Scalar { text, plain: true } if matches!(text.as_str(), "false" | "False" | "FALSE") => Some(false),
            _ => {
                self.wrong_type(node, path, "`true` or `false`");
                None
            }
        }
    }

    /// The items of a list, or the node itself where a list of one may be written as the one.
    pub(super) fn items<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(String, &'n Node)> {
        match &node.value {
            Value::Seq(items) => {
                items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
            }
            _ => vec![(path.to_owned(), node)],
        }
    }

    /// The same, for a field that an empty list would make meaningless.
    pub(super) fn some_items<'n>(&mut self, node: &'n Node, path: &str, what: &str) -> Vec<(String, &'n Node)> {
        if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
            self.wrong_type(node, path, &format!("at least one {what}"));
        }
        self.items(node, path)
    }

    /// A list of texts, or one text.
    pub(super) fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        self.items(node, path)
            .into_iter()
            .filter_map(|(path, item)| self.text(item, &path).map(str::to_owned))
            .collect()
    }

    /// The parameter that a `$name` refers to: `None` when the text is no reference, `Some(None)` when it refers to nothing.
    pub(super) fn reference(&mut self, node: &Node, path: &str) -> Option<Option<(String, Parameter)>> {
        let Value::Scalar { text, .. } = &node.value else { return None };
        let name = text.strip_prefix('$')?;
        if let Some(parameter) = self.parameters.get(name) {
            return Some(Some((name.to_owned(), parameter.clone())));
        }
        let help = match self.suggest(name, self.parameters.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `${meant}`?"),
            None => "define it in `spec.parameters`".to_owned(),
        };
        self.report(&codes::UNKNOWN_PARAMETER, node, path, format!("there is no parameter `{name}`"), help);
        Some(None)
    }
}

/// Longest word that is looked for among others; looking takes time and memory in proportion to the lengths' product.
const LONGEST_SUGGESTED: usize = 64;
/// Words that are looked for in one text, which is more than anybody reads.
const MOST_SUGGESTED: usize = 200;

/// `a, b and c`, each in backquotes.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => format!("`{one}`"),
        [rest @ .., last] => {
            format!("{} and `{last}`", rest.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
        }
    }
}
