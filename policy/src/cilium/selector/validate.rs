//! Which label selectors the agent takes (cilium/cilium:pkg/labels/validation.go, k8s.io/apimachinery).

use crate::object::{LabelSelector, Operator};

/// What is wrong with a selector, if anything.
pub fn selector(selector: &LabelSelector) -> Result<(), String> {
    for (label, value) in &selector.match_labels {
        key(label)?;
        self::value(value)?;
    }
    for expression in &selector.match_expressions {
        match expression.operator {
            Operator::In | Operator::NotIn if expression.values.is_empty() => {
                return Err(format!("`{}`: In and NotIn take at least one value", expression.key));
            }
            Operator::Exists | Operator::DoesNotExist if !expression.values.is_empty() => {
                return Err(format!("`{}`: Exists and DoesNotExist take no values", expression.key));
            }
            _ => {}
        }
        key(&expression.key)?;
        expression.values.iter().try_for_each(|one| value(one))?;
    }
    Ok(())
}

/// A label key, with at most one source before a colon.
pub fn key(key: &str) -> Result<(), String> {
    let mut parts = key.split(':');
    let first = parts.next().unwrap_or_default();
    let label = match (parts.next(), parts.next()) {
        (None, _) => first,
        (Some(label), None) => {
            if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(format!("`{key}`: a source is made of letters and digits"));
            }
            label
        }
        (Some(_), Some(_)) => return Err(format!("`{key}`: a key has at most one colon, after its source")),
    };
    let (prefix, name) = match label.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, label),
    };
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) || !is_name(name) {
        return Err(format!("`{key}` is not a label key"));
    }
    Ok(())
}

/// A label value.
pub fn value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) { Ok(()) } else { Err(format!("`{value}` is not a label value")) }
}

/// Up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|byte| inner(*byte))
}

/// Up to 253 characters of DNS labels in lower case, separated by dots.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            let end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            end(bytes.first())
                && end(bytes.last())
                && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_have_one_source() {
        for good in
            ["app", "k8s:app", "reserved:host", "node-role.kubernetes.io/control-plane", "any:a/b", "cidr:10.0.0.0/8"]
        {
            assert_eq!(key(good), Ok(()), "{good}");
        }
        for bad in ["", ":", ":app", "k8s:", "a-b:app", "k8s:a:b", "A/b", "a/b/c", "-a", "a/", "$host"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_label_values() {
        for good in ["", "a", "A-b_c.d"] {
            assert_eq!(value(good), Ok(()), "{good}");
        }
        for bad in ["-a", "a b", &"x".repeat(64)] {
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn operators_and_values_must_fit() {
        let expression = |operator, values: &[&str]| LabelSelector {
            match_labels: Default::default(),
            match_expressions: vec![crate::object::Requirement {
                key: "a".to_owned(),
                operator,
                values: values.iter().map(|one| (*one).to_owned()).collect(),
            }],
        };
        assert!(selector(&expression(Operator::In, &[])).is_err());
        assert!(selector(&expression(Operator::Exists, &["x"])).is_err());
        assert!(selector(&expression(Operator::NotIn, &["x y"])).is_err());
        assert_eq!(selector(&expression(Operator::In, &["x"])), Ok(()));
    }
}
