//! Labels that a selector selects.

use std::collections::BTreeMap;

use policy::object::{LabelSelector, Operator};

type Labels = BTreeMap<String, String>;

/// Values that are tried for a label that only has to be there.
const VALUES: [&str; 3] = ["true", "yes", "other"];

/// `labels` and what a selector asks for besides; `None` where both cannot be.
pub(super) fn with(labels: &Labels, selector: &LabelSelector) -> Option<Labels> {
    let mut labels = labels.clone();
    for (key, value) in &selector.match_labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for requirement in &selector.match_expressions {
        let wanted = match requirement.operator {
            Operator::In => requirement.values.first().cloned(),
            // A later requirement on the same label can rule values out.
            Operator::Exists => VALUES.into_iter().map(str::to_owned).find(|value| {
                let fits = selector.match_expressions.iter().filter(|other| other.key == requirement.key);
                fits.into_iter().all(|other| match other.operator {
                    Operator::In => other.values.contains(value),
                    Operator::NotIn => !other.values.contains(value),
                    Operator::Exists => true,
                    Operator::DoesNotExist => false,
                })
            }),
            Operator::NotIn | Operator::DoesNotExist => None,
        };
        if let Some(value) = wanted {
            labels.entry(requirement.key.clone()).or_insert(value);
        }
    }
    selector.matches(&labels).then_some(labels)
}

/// Labels that one selector selects and the others do not.
pub(super) fn only(selector: &LabelSelector, others: &[&LabelSelector]) -> Option<Labels> {
    let mut labels = with(&Labels::new(), selector)?;
    for other in others {
        if !other.matches(&labels) {
            continue;
        }
        // What it wants absent is put there.
        let unwanted = other.match_expressions.iter().filter_map(|requirement| match requirement.operator {
            Operator::DoesNotExist => Some((&requirement.key, VALUES[0].to_owned())),
            Operator::NotIn => Some((&requirement.key, requirement.values.first()?.clone())),
            Operator::In | Operator::Exists => None,
        });
        for (key, value) in unwanted {
            let mut more = labels.clone();
            more.entry(key.clone()).or_insert(value);
            if selector.matches(&more) && !other.matches(&more) {
                labels = more;
                break;
            }
        }
    }
    (selector.matches(&labels) && !others.iter().any(|other| other.matches(&labels))).then_some(labels)
}

#[cfg(test)]
mod tests {
    use policy::object::Requirement;

    use super::*;

    fn selector(requirements: &[(&str, Operator, &[&str])]) -> LabelSelector {
        let requirement = |(key, operator, values): &(&str, Operator, &[&str])| Requirement {
            key: (*key).to_owned(),
            operator: *operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        LabelSelector { match_expressions: requirements.iter().map(requirement).collect(), ..LabelSelector::default() }
    }

    #[test]
    fn labels_satisfy_every_requirement_on_a_label() {
        let wanted = selector(&[("a", Operator::Exists, &[]), ("a", Operator::NotIn, &["true"])]);
        assert_eq!(with(&Labels::new(), &wanted).expect("possible")["a"], "yes");
        let never = selector(&[("a", Operator::Exists, &[]), ("a", Operator::DoesNotExist, &[])]);
        assert_eq!(with(&Labels::new(), &never), None);
    }

    #[test]
    fn roles_that_can_overlap_are_kept_apart() {
        let open = LabelSelector::default();
        let worker = selector(&[("control-plane", Operator::DoesNotExist, &[])]);
        let only_first = only(&selector(&[("first", Operator::Exists, &[])]), &[&worker]).expect("possible");
        assert!(only_first.contains_key("control-plane"));
        assert_eq!(only(&worker, &[&open]), None, "everything is in the other too");
    }
}
