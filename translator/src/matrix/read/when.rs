//! Conditions of rows: every key must hold, one of several values is enough.

use std::collections::BTreeMap;

use super::context::{Context, child, list, suggest};
use super::enforcement::Stated;
use super::parameters::Value as ParameterValue;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Cluster, Settings};
use crate::yaml::{Node, Value};

/// What conditions are decided from. A fact that nobody stated is `None`.
pub(super) struct Facts {
    addons: BTreeMap<String, bool>,
    distribution: Option<String>,
    cni: Option<String>,
    encapsulation: Option<String>,
    features: Option<Vec<String>>,
    families: Option<Vec<String>>,
    unresolved: Vec<&'static str>,
}

const FACTS: [&str; 5] = ["distribution", "cni", "encapsulation", "feature", "family"];

impl Facts {
    /// Facts of the cluster and of `--assume`, which may only fill what the matrix leaves open.
    pub(super) fn new(
        cluster: &Cluster,
        stated: Stated,
        addons: BTreeMap<String, bool>,
        settings: &Settings,
        context: &mut Context,
    ) -> Self {
        let mut families: Vec<String> = cluster.node_cidrs.iter().map(|cidr| cidr.family().to_string()).collect();
        families.sort();
        families.dedup();
        let mut facts = Self {
            addons,
            distribution: cluster.distribution.clone(),
            cni: cluster.cni.clone(),
            encapsulation: cluster.encapsulation.clone(),
            features: stated.features.then(|| cluster.features.iter().cloned().collect()),
            families: (!families.is_empty()).then_some(families),
            unresolved: stated.unresolved,
        };
        for (name, value) in &settings.assume {
            let words: Vec<String> =
                value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let known = match name.as_str() {
                "distribution" => fill(&mut facts.distribution, value),
                "cni" => fill(&mut facts.cni, value),
                "encapsulation" => fill(&mut facts.encapsulation, value),
                "feature" => fill_list(&mut facts.features, words),
                "family" => fill_list(&mut facts.families, words),
                _ => {
                    let help = match suggest(name, FACTS) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("the facts are {}", list(&FACTS)),
                    };
                    let finding =
                        crate::finding::Finding::new(&codes::WRONG_VALUE, format!("there is no fact `{name}`"));
                    context.findings.push(finding.at(format!("--assume {name}"), None).help(help));
                    continue;
                }
            };
            if !known {
                let message = format!("the matrix already states `{name}`, and not as `{value}`");
                let finding = crate::finding::Finding::new(&codes::CONFLICTING_OPTIONS, message);
                let help = "change `spec.cluster`, or leave the assumption out";
                context.findings.push(finding.at(format!("--assume {name}"), None).help(help));
            }
        }
        facts
    }
}

fn fill(fact: &mut Option<String>, value: &str) -> bool {
    fact.get_or_insert_with(|| value.to_owned()) == value
}

fn fill_list(fact: &mut Option<Vec<String>>, values: Vec<String>) -> bool {
    match fact {
        Some(known) => *known == values,
        None => {
            *fact = Some(values);
            true
        }
    }
}

/// What a condition comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    /// Rests on a fact that nobody stated.
    Open,
}

impl Truth {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Open, _) | (_, Self::Open) => Self::Open,
            _ => Self::True,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Open => Self::Open,
        }
    }
}

impl Context {
    /// Whether a row is in force; an open condition is reported and counts as not.
    pub(super) fn when(&mut self, node: &Node, path: &str, facts: &Facts) -> bool {
        let mut open = Vec::new();
        match self.condition(node, path, facts, &mut open) {
            Truth::True => true,
            Truth::False => false,
            Truth::Open => {
                open.sort_unstable();
                open.dedup();
                let message = format!("nobody stated the cluster's {}", open.join(" and "));
                let assume: Vec<String> = open.iter().map(|fact| format!("--assume {fact}=VALUE")).collect();
                let help = format!("state it in `spec.cluster`, or give {}", assume.join(" "));
                self.report(&codes::WHEN_UNDECIDABLE, node, path, message, help);
                false
            }
        }
    }

    fn condition(&mut self, node: &Node, path: &str, facts: &Facts, open: &mut Vec<&'static str>) -> Truth {
        let allowed = ["addon", "param", "cni", "encapsulation", "feature", "distribution", "family", "not"];
        let Some(fields) = self.fields(node, path, &allowed) else { return Truth::False };
        let mut truth = Truth::True;
        if let Some(node) = fields.get("addon") {
            for (path, item) in self.items(node, &fields.at("addon")) {
                let Some(name) = self.text(item, &path) else { continue };
                match facts.addons.get(name) {
                    Some(on) => truth = truth.and(if *on { Truth::True } else { Truth::False }),
                    None => {
                        let names: Vec<&str> = facts.addons.keys().map(String::as_str).collect();
                        let help = match suggest(name, names.iter().copied()) {
                            Some(meant) => format!("did you mean `{meant}`?"),
                            None => "define it in `spec.addons`".to_owned(),
                        };
                        self.report(&codes::UNKNOWN_ADDON, item, &path, format!("there is no addon `{name}`"), help);
                    }
                }
            }
        }
        if let Some(node) = fields.get("param") {
            truth = truth.and(self.param_condition(node, &fields.at("param")));
        }
        for (name, fact) in [
            ("distribution", facts.distribution.as_ref().map(std::slice::from_ref)),
            ("cni", facts.cni.as_ref().map(std::slice::from_ref)),
            ("encapsulation", facts.encapsulation.as_ref().map(std::slice::from_ref)),
            ("feature", facts.features.as_deref()),
            ("family", facts.families.as_deref()),
        ] {
            let Some(node) = fields.get(name) else { continue };
            let wanted = self.texts(node, &fields.at(name));
            truth = truth.and(match fact {
                Some(values) if values.iter().any(|value| wanted.contains(value)) => Truth::True,
                Some(_) => Truth::False,
                None if facts.unresolved.contains(&name) => Truth::False,
                None => {
                    open.push(FACTS.into_iter().find(|fact| *fact == name).unwrap_or("facts"));
                    Truth::Open
                }
            });
        }
        if let Some(node) = fields.get("not") {
            truth = truth.and(self.condition(node, &fields.at("not"), facts, open).not());
        }
        truth
    }

    /// `param: name`, a list of names, or `{name: value, other: [value, value]}`.
    fn param_condition(&mut self, node: &Node, path: &str) -> Truth {
        let mut truth = Truth::True;
        if let Value::Map(entries) = &node.value {
            for (key, wanted) in entries {
                let path = child(path, &key.text);
                let Some(parameter) = self.parameters.get(&key.text).cloned() else {
                    let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                    let help = match suggest(&key.text, names.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "define it in `spec.parameters`".to_owned(),
                    };
                    let message = format!("there is no parameter `{}`", key.text);
                    self.report_key(&codes::UNKNOWN_PARAMETER, key, &path, message, help);
                    continue;
                };
                let wanted = self.texts(wanted, &path);
                truth = truth.and(match &parameter.value {
                    ParameterValue::Bool(value) => holds(wanted.iter().any(|wanted| *wanted == value.to_string())),
                    ParameterValue::Text(value) => holds(wanted.contains(value)),
                    ParameterValue::Ports(ports) => {
                        holds(matches!(ports.as_slice(), [port] if wanted.contains(&port.to_string())))
                    }
                    // Reported where it is defined.
                    ParameterValue::Missing => Truth::False,
                    _ => {
                        self.wrong_parameter(node, &path, &key.text, "one value to compare with");
                        Truth::False
                    }
                });
            }
            return truth;
        }
        for (path, item) in self.items(node, path) {
            let Some(name) = self.text(item, &path) else { continue };
            match self.parameters.get(name).map(|parameter| parameter.value.clone()) {
                Some(ParameterValue::Bool(value)) => truth = truth.and(holds(value)),
                Some(ParameterValue::Missing) => truth = Truth::False,
                Some(_) => self.wrong_parameter(item, &path, name, "a boolean; write `{name: value}` to compare"),
                None => {
                    let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                    let help = match suggest(name, names.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "define it in `spec.parameters`".to_owned(),
                    };
                    self.report(
                        &codes::UNKNOWN_PARAMETER,
                        item,
                        &path,
                        format!("there is no parameter `{name}`"),
                        help,
                    );
                }
            }
        }
        truth
    }
}

fn holds(value: bool) -> Truth {
    if value { Truth::True } else { Truth::False }
}
