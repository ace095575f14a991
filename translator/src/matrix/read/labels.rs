//! Label selectors.

use std::collections::BTreeMap;

use policy::object::{LabelSelector, Operator, Requirement};

use super::context::{Context, child};
use crate::finding::codes::matrix as codes;
use crate::yaml::{Node, Value};

/// Most labels, and most expressions, of one selector.
const MOST_REQUIREMENTS: usize = 64;

impl Context {
    /// A Kubernetes label selector.
    pub(super) fn label_selector(&mut self, node: &Node, path: &str) -> Option<LabelSelector> {
        let before = self.findings.len();
        let fields = self.fields(node, path, &["matchLabels", "matchExpressions"])?;
        let mut selector = LabelSelector::default();
        for name in ["matchLabels", "matchExpressions"] {
            let Some(node) = fields.get(name) else { continue };
            let count = match &node.value {
                Value::Seq(items) => items.len(),
                Value::Map(entries) => entries.len(),
                Value::Scalar { .. } => 0,
            };
            if count > MOST_REQUIREMENTS {
                let message = format!("there are {count} requirements; at most {MOST_REQUIREMENTS} are read");
                let help = "a role needs two or three; check that this is the right file";
                self.report(&codes::INPUT_TOO_LARGE, node, &fields.at(name), message, help);
                return None;
            }
        }
        if let Some(labels) = fields.get("matchLabels") {
            selector.match_labels = self.labels(labels, &fields.at("matchLabels"));
        }
        if let Some(expressions) = fields.get("matchExpressions") {
            let path = fields.at("matchExpressions");
            match &expressions.value {
                Value::Seq(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let requirement = self.requirement(item, &format!("{path}[{index}]"));
                        selector.match_expressions.extend(requirement);
                    }
                }
                _ => self.wrong_type(expressions, &path, "a list"),
            }
        }
        (self.findings.len() == before).then_some(selector)
    }

    fn labels(&mut self, node: &Node, path: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for (key, value) in self.entries(node, path).unwrap_or_default() {
            let path = child(path, &key.text);
            if !is_qualified_name(&key.text) {
                let help = "keys are `name` or `prefix/name`; names have at most 63 letters, digits, `-`, `_` and `.`";
                self.report_key(&codes::BAD_SELECTOR, key, &path, format!("`{}` is not a label key", key.text), help);
            }
            if let Some(text) = self.label_value(value, &path) {
                labels.insert(key.text.clone(), text.to_owned());
            }
        }
        labels
    }

    /// The value of a label. The API server takes only text here, so what other readers take as a number or a boolean
    /// must be quoted.
    fn label_value<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        let text = self.text(node, path)?;
        if !node.is_text() {
            let help = format!("label values are text: write \"{text}\"");
            self.report(&codes::BAD_SELECTOR, node, path, format!("`{text}` is not text"), help);
            return None;
        }
        if !is_label_value(text) {
            let help = "values have at most 63 letters, digits, `-`, `_` and `.`";
            self.report(&codes::BAD_SELECTOR, node, path, format!("`{text}` is not a label value"), help);
            return None;
        }
        Some(text)
    }

    fn requirement(&mut self, node: &Node, path: &str) -> Option<Requirement> {
        let fields = self.fields(node, path, &["key", "operator", "values"])?;
        let key_node = self.required(&fields, "key", "name the label")?;
        let key = self.text(key_node, &fields.at("key"))?.to_owned();
        if !is_qualified_name(&key) {
            let help = "keys are `name` or `prefix/name`; names have at most 63 letters, digits, `-`, `_` and `.`";
            self.report(&codes::BAD_SELECTOR, key_node, &fields.at("key"), format!("`{key}` is not a label key"), help);
        }
        let operator_node = self.required(&fields, "operator", "one of `In`, `NotIn`, `Exists`, `DoesNotExist`")?;
        let operator =
            match self.word(operator_node, &fields.at("operator"), &["In", "NotIn", "Exists", "DoesNotExist"])? {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                _ => Operator::DoesNotExist,
            };
        let mut values = Vec::new();
        let mut given = false;
        if let Some(node) = fields.get("values") {
            for (path, item) in self.items(node, &fields.at("values")) {
                given = true;
                values.extend(self.label_value(item, &path).map(str::to_owned));
            }
        }
        let takes_values = matches!(operator, Operator::In | Operator::NotIn);
        if takes_values != given {
            let (message, help) = if takes_values {
                (format!("`{operator:?}` needs values"), "give at least one, or use `Exists`")
            } else {
                (format!("`{operator:?}` takes no values"), "leave `values` out, or use `In`")
            };
            self.report(&codes::BAD_SELECTOR, fields.get("values").unwrap_or(node), path, message, help);
            return None;
        }
        Some(Requirement { key, operator, values })
    }
}

fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fine = prefix.is_none_or(|prefix| {
        (1..=253).contains(&prefix.len())
            && prefix.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            })
    });
    prefix_fine && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
