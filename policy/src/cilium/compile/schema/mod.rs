//! What the API server refuses by the schema of the custom resource
//! (cilium/cilium:pkg/k8s/apis/cilium.io/client/crds/v2/ciliumclusterwidenetworkpolicies.yaml).
//!
//! Fields that the schema does not know are pruned, not refused. Its one rule in CEL (`spec` or `specs` must be there,
//! from 1.20 on) is left to the agent, which says the same. Patterns are searched for where they are not anchored.

mod shapes;

use serde_json::Value;

use super::refusal::Fault;
use crate::cilium::version::Version;
use shapes::{Need, OBJECT, Shape};

/// What the schema refuses an object for, if it does.
pub(super) fn check(value: &Value, version: Version) -> Result<(), Fault> {
    fits(value, &OBJECT, "", version)
}

/// Recursion goes no deeper than the shapes, whatever the value.
fn fits(value: &Value, shape: &Shape, path: &str, version: Version) -> Result<(), Fault> {
    let wrong = |what: &str| Err(Fault::schema(path.trim_start_matches('.'), what));
    match (shape, value) {
        (Shape::Bool, Value::Bool(_)) => Ok(()),
        (Shape::Integer { least, most }, Value::Number(number)) => match number.as_i64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            _ => wrong("the number is out of range"),
        },
        (Shape::Either(_), Value::Number(number)) if number.is_i64() => Ok(()),
        (Shape::Text(allowed) | Shape::Either(allowed), Value::String(text)) => {
            if allowed(text, version) {
                Ok(())
            } else {
                wrong(&format!("`{text}` is not allowed here"))
            }
        }
        (Shape::List { of, least, most }, Value::Array(items)) => {
            if !(*least..=*most).contains(&items.len()) {
                return wrong(&format!("{} entries are too many or too few", items.len()));
            }
            items.iter().enumerate().try_for_each(|(index, item)| fits(item, of, &format!("{path}[{index}]"), version))
        }
        (Shape::Map(of), Value::Object(map)) => {
            map.iter().try_for_each(|(key, value)| fits(value, of, &format!("{path}.{key}"), version))
        }
        (Shape::Object { fields, needs }, Value::Object(map)) => {
            for need in *needs {
                let count = |names: &[&str]| names.iter().filter(|name| map.contains_key(**name)).count();
                let (met, what, names) = match need {
                    Need::All(names) => (count(names) == names.len(), "must be there", names),
                    Need::ExactlyOne(names) => (count(names) == 1, "exactly one must be there", names),
                    Need::AtLeastOne(names) => (count(names) > 0, "at least one must be there", names),
                };
                if !met {
                    return wrong(&format!("{}: {what}", names.join(", ")));
                }
            }
            fields.iter().try_for_each(|(name, shape)| match map.get(*name) {
                Some(value) => fits(value, shape, &format!("{path}.{name}"), version),
                None => Ok(()),
            })
        }
        _ => wrong("the value has the wrong type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(rule: impl Into<Value>) -> Option<String> {
        check(&json!({"spec": rule.into()}), Version::V1_20).err().map(|fault| fault.path)
    }

    #[test]
    fn selectors_and_lists_are_counted_by_presence() {
        assert_eq!(refused(json!({"nodeSelector": {}, "ingress": []})), None);
        assert_eq!(refused(json!({"nodeSelector": {}})), Some("spec".to_owned()));
        assert_eq!(refused(json!({"ingress": []})), Some("spec".to_owned()));
        assert_eq!(
            refused(json!({"nodeSelector": {}, "endpointSelector": {}, "ingress": []})),
            Some("spec".to_owned())
        );
    }

    #[test]
    fn the_port_pattern_is_anchored_at_one_end_of_each_half() {
        let port =
            |port: &str| refused(json!({"nodeSelector": {}, "ingress": [{"toPorts": [{"ports": [{"port": port}]}]}]}));
        for passes in ["22", "99999", "1_000x", "http", "_http", "0"] {
            assert_eq!(port(passes), None, "{passes}");
        }
        for refused in ["", "-1", "a-", "_1"] {
            assert_eq!(port(refused), Some("spec.ingress[0].toPorts[0].ports[0].port".to_owned()), "{refused}");
        }
    }

    #[test]
    fn prefixes_need_a_length_and_exactly_one_way_is_given() {
        let set = |rule: Value| refused(json!({"nodeSelector": {}, "ingress": [{"fromCIDRSet": [rule]}]}));
        assert_eq!(set(json!({"cidr": "010.0.0.5/8"})), None);
        assert_eq!(set(json!({"cidr": "10.0.0.5"})), Some("spec.ingress[0].fromCIDRSet[0].cidr".to_owned()));
        assert_eq!(set(json!({})), Some("spec.ingress[0].fromCIDRSet[0]".to_owned()));
        assert_eq!(
            set(json!({"cidr": "10.0.0.0/8", "cidrGroupRef": "x"})),
            Some("spec.ingress[0].fromCIDRSet[0]".to_owned())
        );
    }

    #[test]
    fn icmp_types_are_numbers_or_names() {
        let icmp =
            |kind: Value| refused(json!({"nodeSelector": {}, "ingress": [{"icmps": [{"fields": [{"type": kind}]}]}]}));
        assert_eq!(icmp(json!(300)), None, "only texts have a pattern");
        assert_eq!(icmp(json!("Echo")), None);
        assert!(icmp(json!("08")).is_some());
        assert!(icmp(json!(null)).is_some());
    }

    #[test]
    fn entities_depend_on_the_version() {
        let object = json!({"spec": {"nodeSelector": {}, "ingress": [{"fromEntities": ["cluster-mesh"]}]}});
        assert!(check(&object, Version::V1_20).is_ok());
        assert!(check(&object, Version::V1_19).is_err());
    }
}
