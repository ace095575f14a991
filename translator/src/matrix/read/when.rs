//! Conditions of rows: every key must hold, one of several values is enough.

use std::collections::BTreeMap;

use super::context::{Context, child, list};
use super::enforcement::{ENCAPSULATIONS, Stated};
use super::parameters::{Parameter, Value as ParameterValue};
use crate::finding::codes::matrix as codes;
use crate::finding::{Finding, Location};
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
            let path = format!("--assume {name}");
            let allowed = words_of(name);
            if let Some(wrong) = words.iter().find(|word| !allowed.is_empty() && !allowed.contains(&word.as_str())) {
                let finding = Finding::new(&codes::WRONG_VALUE, format!("`{wrong}` is not a value of `{name}`"));
                context.findings.push(finding.at(path, None).help(format!("the words are {}", list(allowed))));
                continue;
            }
            let agrees = match name.as_str() {
                "distribution" => fill(&mut facts.distribution, value),
                "cni" => fill(&mut facts.cni, value),
                "encapsulation" => fill(&mut facts.encapsulation, value),
                "feature" => fill_list(&mut facts.features, words),
                "family" => fill_list(&mut facts.families, words),
                _ => {
                    let help = match context.suggest(name, FACTS) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("the facts are {}", list(&FACTS)),
                    };
                    let finding = Finding::new(&codes::WRONG_VALUE, format!("there is no fact `{name}`"));
                    context.findings.push(finding.at(path, None).help(help));
                    continue;
                }
            };
            if !agrees {
                let message = format!("the matrix already states `{name}`, and not as `{value}`");
                let help = "change `spec.cluster`, or leave the assumption out";
                context.findings.push(Finding::new(&codes::CONFLICTING_OPTIONS, message).at(path, None).help(help));
            }
        }
        facts
    }

    /// Puts what was assumed where the matrix leaves it open.
    pub(super) fn complete(&self, cluster: &mut Cluster) {
        cluster.distribution.clone_from(&self.distribution);
        cluster.cni.clone_from(&self.cni);
        cluster.encapsulation.clone_from(&self.encapsulation);
        cluster.features.extend(self.features.iter().flatten().cloned());
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

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
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
            truth = truth.and(self.addon_condition(node, &fields.at("addon"), facts));
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
            let wanted = self.wanted(node, &fields.at(name), words_of(name));
            truth = truth.and(match fact {
                Some(values) => holds(values.iter().any(|value| wanted.contains(value))),
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

    /// What a fact or a parameter is compared with: at least one value, each of which it could have.
    fn wanted(&mut self, node: &Node, path: &str, words: &[&str]) -> Vec<String> {
        let mut wanted = Vec::new();
        for (path, item) in self.some_items(node, path, "value") {
            let word = if words.is_empty() { self.text(item, &path) } else { self.word(item, &path, words) };
            wanted.extend(word.map(str::to_owned));
        }
        wanted
    }

    /// `addon: name`, or a list of names of which one is enough.
    fn addon_condition(&mut self, node: &Node, path: &str, facts: &Facts) -> Truth {
        let mut truth = Truth::False;
        for (path, item) in self.some_items(node, path, "addon") {
            let Some(name) = self.text(item, &path) else { continue };
            match facts.addons.get(name) {
                Some(on) => truth = truth.or(holds(*on)),
                None => {
                    let names: Vec<&str> = facts.addons.keys().map(String::as_str).collect();
                    let help = match self.suggest(name, names.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "define it in `spec.addons`".to_owned(),
                    };
                    self.report(&codes::UNKNOWN_ADDON, item, &path, format!("there is no addon `{name}`"), help);
                }
            }
        }
        truth
    }

    /// `param: name`, a list of names of which one is enough, or `{name: value, other: [value, value]}`.
    fn param_condition(&mut self, node: &Node, path: &str) -> Truth {
        if let Value::Map(entries) = &node.value {
            let mut truth = Truth::True;
            for (key, wanted) in entries {
                let path = child(path, &key.text);
                match self.parameters.get(&key.text).cloned() {
                    Some(parameter) => truth = truth.and(self.compare(&key.text, &parameter, wanted, &path)),
                    None => self.no_such_parameter(&key.text, &key.at, &path),
                }
            }
            return truth;
        }
        let mut truth = Truth::False;
        for (path, item) in self.some_items(node, path, "parameter") {
            let Some(name) = self.text(item, &path) else { continue };
            match self.parameters.get(name).map(|parameter| parameter.value.clone()) {
                Some(ParameterValue::Bool(value)) => truth = truth.or(holds(value)),
                // Reported where it is defined.
                Some(ParameterValue::Missing) => {}
                Some(_) => self.wrong_parameter(item, &path, name, "a boolean; write `{name: value}` to compare"),
                None => self.no_such_parameter(name, &item.at, &path),
            }
        }
        truth
    }

    /// Whether a parameter has one of the values wanted. A value that it can never have is a mistake.
    fn compare(&mut self, name: &str, parameter: &Parameter, wanted: &Node, path: &str) -> Truth {
        match &parameter.value {
            ParameterValue::Bool(value) => {
                let mut any = false;
                for (path, item) in self.some_items(wanted, path, "value") {
                    any |= self.boolean(item, &path) == Some(*value);
                }
                holds(any)
            }
            ParameterValue::Text(value) => {
                let words: Vec<&str> = parameter.values.iter().map(String::as_str).collect();
                holds(self.wanted(wanted, path, &words).contains(value))
            }
            ParameterValue::Ports(ports) => {
                holds(self.ports(wanted, path).iter().any(|range| ports.as_slice() == [*range]))
            }
            // Reported where it is defined.
            ParameterValue::Missing => Truth::False,
            ParameterValue::Cidrs(_) | ParameterValue::Strings(_) => {
                self.wrong_parameter(wanted, path, name, "one value to compare with");
                Truth::False
            }
        }
    }

    fn no_such_parameter(&mut self, name: &str, at: &Location, path: &str) {
        let help = match self.suggest(name, self.parameters.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "define it in `spec.parameters`".to_owned(),
        };
        let finding = Finding::new(&codes::UNKNOWN_PARAMETER, format!("there is no parameter `{name}`"));
        self.findings.push(finding.at(path, Some(at.clone())).help(help));
    }
}

/// The only values that a fact can have; empty when any word will do.
fn words_of(fact: &str) -> &'static [&'static str] {
    match fact {
        "encapsulation" => &ENCAPSULATIONS,
        "family" => &["IPv4", "IPv6"],
        _ => &[],
    }
}

fn holds(value: bool) -> Truth {
    if value { Truth::True } else { Truth::False }
}
