//! Kubernetes label selectors in Calico's selector language.

use std::fmt::Write as _;

use policy::object::{LabelSelector, Operator};

/// Characters that a selector may have in Calico's CRDs.
pub(super) const MOST_CHARACTERS: usize = 1024;

/// Why a label selector has no form in Calico's language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The key has a character that a label in a selector may not have.
    #[error("the label key `{0}` has a character that Calico's selectors cannot name")]
    Key(String),
    /// The value has both kinds of quote, and Calico knows no escapes.
    #[error("the label value `{0}` has both kinds of quotation mark, which Calico's selectors cannot write")]
    Value(String),
    /// The text is longer than Calico's CRDs take.
    #[error("the selector is {0} characters long in Calico's language, of at most {MOST_CHARACTERS}")]
    Long(usize),
}

/// A label selector as Calico writes it; what it selects is exactly the same.
///
/// Calico's `!=` and `not in` hold for an absent label, as Kubernetes' `NotIn` does
/// (projectcalico/calico:libcalico-go/lib/selector/parser/ast.go).
///
/// # Errors
///
/// A key or value cannot be written, or the text is too long.
pub fn selector(selector: &LabelSelector) -> Result<String, SelectorError> {
    let terms = terms(selector)?;
    let text = if terms.is_empty() { "all()".to_owned() } else { terms.join(" && ") };
    if text.len() > MOST_CHARACTERS { Err(SelectorError::Long(text.len())) } else { Ok(text) }
}

/// The requirements, to be ANDed. Empty selects everything.
pub(super) fn terms(selector: &LabelSelector) -> Result<Vec<String>, SelectorError> {
    let mut terms = Vec::new();
    for (key, value) in &selector.match_labels {
        terms.push(format!("{} == {}", label(key)?, literal(value)?));
    }
    for requirement in &selector.match_expressions {
        let key = label(&requirement.key)?;
        terms.push(match requirement.operator {
            Operator::Exists => format!("has({key})"),
            Operator::DoesNotExist => format!("!has({key})"),
            Operator::In => match requirement.values.as_slice() {
                [value] => format!("{key} == {}", literal(value)?),
                values => format!("{key} in {}", literals(values)?),
            },
            Operator::NotIn => match requirement.values.as_slice() {
                [value] => format!("{key} != {}", literal(value)?),
                values => format!("{key} not in {}", literals(values)?),
            },
        });
    }
    Ok(terms)
}

fn label(key: &str) -> Result<&str, SelectorError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    if (1..=512).contains(&key.len()) && key.bytes().all(plain) {
        Ok(key)
    } else {
        Err(SelectorError::Key(key.to_owned()))
    }
}

fn literal(value: &str) -> Result<String, SelectorError> {
    match (value.contains('\''), value.contains('"')) {
        (false, _) => Ok(format!("'{value}'")),
        (true, false) => Ok(format!("\"{value}\"")),
        (true, true) => Err(SelectorError::Value(value.to_owned())),
    }
}

fn literals(values: &[String]) -> Result<String, SelectorError> {
    let mut text = "{".to_owned();
    for (index, value) in values.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}{}", literal(value)?);
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use policy::object::Requirement;
    use proptest::prelude::*;

    use super::super::language;
    use super::*;

    fn requirement(key: &str, operator: Operator, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![Requirement {
                key: key.to_owned(),
                operator,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
        }
    }

    #[test]
    fn each_operator_has_its_form() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        for (operator, values, text) in [
            (Exists, &[][..], "has(example.org/role)"),
            (DoesNotExist, &[], "!has(example.org/role)"),
            (In, &["a"], "example.org/role == 'a'"),
            (In, &["a", ""], "example.org/role in {'a', ''}"),
            (NotIn, &["a"], "example.org/role != 'a'"),
            (NotIn, &["a", "b"], "example.org/role not in {'a', 'b'}"),
        ] {
            assert_eq!(selector(&requirement("example.org/role", operator, values)).as_deref(), Ok(text));
        }
        assert_eq!(selector(&LabelSelector::default()).as_deref(), Ok("all()"));
    }

    #[test]
    fn what_the_language_cannot_say_is_refused() {
        assert_eq!(selector(&requirement("a b", Operator::Exists, &[])), Err(SelectorError::Key("a b".to_owned())));
        assert_eq!(selector(&requirement("a", Operator::In, &["it's"])).as_deref(), Ok("a == \"it's\""));
        let both = "'\"".to_owned();
        assert_eq!(selector(&requirement("a", Operator::In, &[&both])), Err(SelectorError::Value(both)));
        let long = "x".repeat(1020);
        assert_eq!(selector(&requirement("a", Operator::In, &[&long])), Err(SelectorError::Long(1027)));
    }

    fn any_selector() -> impl Strategy<Value = LabelSelector> {
        let key =
            || prop::sample::select(vec!["a", "example.org/b", "in", "contains", "not", "has"]).prop_map(str::to_owned);
        let value = || prop::sample::select(vec!["", "x", "true", "and"]).prop_map(str::to_owned);
        let operator =
            prop::sample::select(vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist]);
        let expression = (key(), operator, prop::collection::vec(value(), 1..3)).prop_map(|(key, operator, values)| {
            let takes_values = matches!(operator, Operator::In | Operator::NotIn);
            Requirement { key, operator, values: if takes_values { values } else { Vec::new() } }
        });
        (prop::collection::btree_map(key(), value(), 0..3), prop::collection::vec(expression, 0..3))
            .prop_map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions })
    }

    proptest! {
        #[test]
        fn the_text_selects_what_the_selector_does(
            wanted in any_selector(),
            labels in prop::collection::btree_map(
                prop::sample::select(vec!["a", "example.org/b", "in", "contains", "not", "has"]).prop_map(str::to_owned),
                prop::sample::select(vec!["", "x", "true", "and"]).prop_map(str::to_owned),
                0..5,
            ),
        ) {
            let text = selector(&wanted).expect("plain keys and values");
            prop_assert_eq!(language::matches(&text, &labels), wanted.matches(&labels), "{}", text);
        }
    }
}
